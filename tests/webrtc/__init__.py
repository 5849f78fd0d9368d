"""Real browsers in calls through the suite: Debian's Chromium and Firefox, as users have them."""
