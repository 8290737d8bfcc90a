// Which of a few scores are kept.
#pragma once

#include <cstdint>

namespace petrain {

// As keep_greatest in petrain/prune.hpp, for one pool of finite scores.
void keep_in_pool(const float* scores, std::int64_t size, std::int64_t keep, std::uint8_t* mask);

}  // namespace petrain
