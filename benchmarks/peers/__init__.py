"""Other engines under measure, each as a program for the peers' environment: `python -m benchmarks.peers.NAME`.

They see this project's folder, but none of its dependencies: only what needs the standard library may be imported.
"""
