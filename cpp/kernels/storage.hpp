// How numbers are stored.
#pragma once

#include <cstdint>

namespace petrain::kernels {

enum class Storage : std::uint8_t { f32, f64, f16, bf16, code8 };

}  // namespace petrain::kernels
