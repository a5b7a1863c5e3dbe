"""Where an environment lives: on this machine; one module a runtime."""
