// What every kernel file needs to know of the instruction set that it is being compiled for.
#pragma once

#define PETRAIN_CONCAT_(a, b) a##b
#define PETRAIN_CONCAT(a, b) PETRAIN_CONCAT_(a, b)

// The one symbol that a kernel file exports: petrain::kernels::<table>_<isa>.
#define PETRAIN_TABLE(table) PETRAIN_CONCAT(PETRAIN_CONCAT(table, _), PETRAIN_ISA)
// The same of the set that this one extends, for tables that are not compiled again.
#define PETRAIN_BASE_TABLE(table) PETRAIN_CONCAT(PETRAIN_CONCAT(table, _), PETRAIN_BASE_ISA)
