// An application of the module; what must not compile is marked.

import { Call, Client, GrtcError, type EndCause } from "grtc";

const client = new Client({ gateway: "https://gateway.example:8086", iceServers: async () => [{ urls: "stun:stun.example" }] });
client.on("incoming", ({ detail: { call, event } }) => {
  const asked: "offer" | "invite" = event;
  void client.accept({ audio: true, video: asked === "invite" ? "receive" : { width: 640 } });
  call.on("ended", ({ detail }) => {
    const cause: EndCause = detail.cause;
    console.log(cause, detail.error instanceof GrtcError ? detail.error.errorType : null);
  });
});

export async function use(): Promise<Call> {
  await client.signIn("1001", "secret");
  const call = await client.dial("1002", { audio: true }, { data: [{ key: "Skill", value: "Sales" }] });
  await (await call.answered()).hold("sendonly");
  const { audio } = await call.statistics();
  console.log(audio?.rx.packets, (await call.gatewayStatistics()).audio?.rtt_max);
  const sent: boolean = call.sendDigits("12#");
  console.log(sent);
  return call;
}

// @ts-expect-error There is no such option.
new Client({ webrtc_gateway: "https://gateway.example" });
// @ts-expect-error There is no such event.
client.on("nothing", () => {});
// @ts-expect-error A call comes from a client.
new Call();
