// The kernel tables of this build, and which of them is in use.
#pragma once

#include <span>

#include "kernels/table.hpp"

namespace petrain {

// The tables that this build has and this machine runs, least capable first; never empty.
std::span<const kernels::KernelTable* const> available_kernels();

// The table in use: chosen at the first call, the same ever after.
const kernels::KernelTable& active_kernels();

}  // namespace petrain
