"""What a web page makes of channels: hls.js in Debian's Chromium, and what it takes to look at it."""
