"""What runs inside the sandbox. Standard library, msgpack, torch and transformers: nothing of the server."""
