"""What every model needs: roles, description, linear layers, rotary positions, sequence state, quantised weights."""
