// An application of the global; what must not compile is marked.

/// <reference path="../../../suite/jsapi/grtc.d.ts" />

const client = new Grtc.Client({ webrtc_gateway: "https://gateway.example:8086", ice_timeout: "2000", dtls_srtp: true });
client.onConnect.add(({ id }) => console.log(id));
client.onIncomingCall.add(({ peer, event }) => {
  session.acceptCall(true, event === "offer", peer);
  return false;
});
const session = new Grtc.MediaSession(client);
session.onRemoteStream.add([({ stream }) => client.setViewFromStream(document.createElement("video"), stream)]);
session.setData([{ key: "Skill", value: "Sales" }]);
client.enableMediaSource(true, Grtc.VideoConstraints.hd());
client.enableMediaSource({ mandatory: { googEchoCancellation: true } }, false);
client.filterIceCandidates = (list) => list.filter(({ candidate }) => !candidate.includes(" tcp "));
client.register("1001");
session.makeOffer("self", true, false);
const done: 0 | -1 = session.sendDTMF("12", { duration: 100, tonegap: 50 });
console.log(done, session.state, Grtc.MediaSession.sessionId, client.registeredSSID === -1, Grtc.GRTC_WARN);

// @ts-expect-error The gateway must be named.
new Grtc.Client({});
// @ts-expect-error Exactly these two keys.
session.setData([{ name: "Skill" }]);
