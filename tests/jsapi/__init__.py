"""Tests of the JavaScript library and of the phone's page, most of them in Chromium."""
