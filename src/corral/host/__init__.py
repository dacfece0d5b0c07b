"""This machine: processes, sockets, ports, disk, logs, instruments, signals; and the way to others. Imports only `config`, `wire` and `errors`;
never `gateway`, whose ports it happens to fit."""
