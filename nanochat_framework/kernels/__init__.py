"""Operations that may have faster implementations: the table, and the naive forms that are always there."""
