"""The SIP back-to-back user agent and the WebRTC gateway: not here yet."""
