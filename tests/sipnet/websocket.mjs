// A browser's WebSocket, as Node has it too: register by text and by bytes, then say good-bye.
// Arguments: the server's URL and the subprotocol to offer.
const [url, subprotocol] = process.argv.slice(2);
const request = [
  "OPTIONS sip:1001@sip.example SIP/2.0",
  "Via: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bKnode;rport",
  "Max-Forwards: 70",
  "From: <sip:1000@sip.example>;tag=a",
  "To: <sip:1001@sip.example>",
  "Call-ID: node",
  "CSeq: 1 OPTIONS",
  "Content-Length: 0",
  "",
  "",
].join("\r\n");

const socket = new WebSocket(url, [subprotocol]);
let answers = 0;
socket.onopen = () => {
  console.log(`open ${socket.protocol}`);
  socket.send("\r\n\r\n");
  socket.send(request);
  socket.send(new TextEncoder().encode(request));
};
socket.onmessage = ({ data }) => {
  console.log(`${typeof data} ${JSON.stringify(data.split("\r\n")[0])}`);
  answers += 1;
  if (answers === 3) socket.close(1000);
};
socket.onerror = () => console.log("error");
socket.onclose = ({ code, wasClean }) => console.log(`close ${code} ${wasClean}`);
