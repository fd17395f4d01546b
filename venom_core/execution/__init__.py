"""Work that fans out: many tasks from one call, gathered, folded, cancelled and resumed as one."""
