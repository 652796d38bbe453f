//! End-to-end tests: real binaries, real sockets, kill -9. Everything is in `tests/it`.
