"""The check page in a real browser: node and playwright-core drive Debian's Chromium."""
