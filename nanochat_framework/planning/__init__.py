"""What a configuration costs, before anything is allocated: parameters, floating-point operations, memory.

Everything is computed from the configuration and the description it makes of its model; torch is imported only for a
model that holds a component without a description, and then to build it on the meta device, which has no memory.
"""
