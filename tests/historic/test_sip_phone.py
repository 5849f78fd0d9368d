"""The far end itself, before browsers meet it: plain phones over the lab's SIP Servers."""

from __future__ import annotations

from tests.historic.loop_thread import on_loop
from tests.historic.stage import ECHO, MUSIC, StageTestCase
from tests.historic.waiting import until


class SipPhoneTests(StageTestCase):
    """A phone with a tone of its own."""

    @on_loop
    async def test_hears_itself(self) -> None:
        """The echo phone sends the tone back."""
        phone = await self.phone("1101")
        await phone.call(ECHO)
        await until(lambda: phone.ear.tone(phone.tone) > 0.8, "our own tone")
        await phone.offer("inactive")
        await until(lambda: phone.ear.quiet_for() > 0.4, "silence")

    @on_loop
    async def test_hears_music(self) -> None:
        """The music phone plays."""
        phone = await self.phone("1102")
        await phone.call(MUSIC)
        await until(lambda: phone.ear.loudness() > 500, "music")

    @on_loop
    async def test_two_phones(self) -> None:
        """They hear each other, and digits."""
        caller, callee = await self.phone("1103"), await self.phone("1104")
        callee.medium().mouth.tone = 1500
        await caller.call("1104")
        await until(lambda: caller.ear.tone(1500) > 0.8, "the callee")
        await until(lambda: callee.ear.tone(1200) > 0.8, "the caller")
        caller.medium().mouth.dial("42")
        await until(lambda: [n for n, _ in callee.ear.digits] == [4, 2], "digits")
        await callee.hang_up()
        await until(lambda: not caller.is_up, "BYE")
