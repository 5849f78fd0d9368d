"""The Twisted shell of the relay: timers, streams, user databases. No rule of TURN lives here."""
