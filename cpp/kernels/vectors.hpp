// Vectors as wide as the registers, and access to memory of any alignment.
#pragma once

#include <cstddef>

namespace petrain::kernels {
namespace {

#if defined(__AVX512F__)
constexpr std::ptrdiff_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr std::ptrdiff_t kVectorBytes = 32;
#else
constexpr std::ptrdiff_t kVectorBytes = 16;
#endif

// Through memcpy: gcc and clang each lose a lower alignment of a vector type in places.
template <class Vector, class T>
inline Vector load_vector(const T* from) {
  Vector vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}
template <class T, class Vector>
inline void store_vector(T* to, Vector vector) {
  __builtin_memcpy(to, &vector, sizeof vector);
}

}  // namespace
}  // namespace petrain::kernels
