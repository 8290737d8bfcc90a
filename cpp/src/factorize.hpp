// Low-rank factors before anything is said about them.
#pragma once

#include "svd.hpp"

namespace petrain {

// Those of `keep`, whose rank for an energy or an error is that of the spectrum, without what float32 adds to it.
RoundedFactors spectral_factors(const ConstTensorView& w, const Keep& keep, std::uint64_t seed);

}  // namespace petrain
