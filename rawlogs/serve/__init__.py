"""One page that shows logs in a browser, and the small server behind it. Nothing of Prefect's access leaves it."""
