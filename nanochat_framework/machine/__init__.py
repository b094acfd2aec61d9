"""What this machine gives to a process, found without torch: cores, memory, instruction sets, a compiler, folders."""
