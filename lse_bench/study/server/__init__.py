"""The web application in which raters answer."""
