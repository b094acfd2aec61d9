"""What each kind of component must offer: one small file a kind.

A component's factory is called with its configuration and the keyword arguments that its contract names, and returns
an instance of the contract's class.
"""
