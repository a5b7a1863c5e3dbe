"""Where stages run: on this machine or in containers. One module a runtime."""
