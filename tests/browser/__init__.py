"""The page in a real browser: Debian's Chromium, headless, driven by Playwright. Missing Chromium is a failure."""
