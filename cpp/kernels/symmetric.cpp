#include "symmetric.hpp"

namespace petrain::kernels {
namespace {

constexpr std::ptrdiff_t kLanes = 8;  // of a row's sum

#if defined(__AVX512F__)
constexpr std::ptrdiff_t kWidth = 8;
#elif defined(__AVX2__)
constexpr std::ptrdiff_t kWidth = 4;
#else
constexpr std::ptrdiff_t kWidth = 2;
#endif
constexpr std::ptrdiff_t kVectors = kLanes / kWidth;

using Vector = double __attribute__((vector_size(kWidth * sizeof(double))));
inline Vector load(const double* from) {
  Vector vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}
inline void store(double* to, Vector vector) { __builtin_memcpy(to, &vector, sizeof vector); }

template <bool updated>
void advance_rows(const AdvanceArgs& args) {
  const double *v = args.v, *w = args.w, *u = args.u;
  double* y = args.y;
  for (std::ptrdiff_t i = 0; i < args.size; ++i) y[i] = 0;
  for (std::ptrdiff_t i = 0; i < args.size; ++i) {
    double* row = args.a + i * args.stride;
    const double vi = updated ? v[i] : 0, wi = updated ? w[i] : 0, ui = u[i];
    if (updated) row[i] -= vi * wi + wi * vi;
    Vector sums[kVectors] = {};
    std::ptrdiff_t j = i + 1;
    for (; j + kLanes <= args.size; j += kLanes) {
#pragma GCC unroll 4
      for (std::ptrdiff_t part = 0; part < kVectors; ++part) {
        const std::ptrdiff_t at = j + part * kWidth;
        Vector a = load(row + at);
        if (updated) {
          a -= vi * load(w + at) + wi * load(v + at);
          store(row + at, a);
        }
        sums[part] += a * load(u + at);
        store(y + at, load(y + at) + ui * a);
      }
    }
    double lanes[kLanes];
#pragma GCC unroll 4
    for (std::ptrdiff_t part = 0; part < kVectors; ++part) store(lanes + part * kWidth, sums[part]);
    for (std::ptrdiff_t lane = 0; j < args.size; ++j, ++lane) {
      if (updated) row[j] -= vi * w[j] + wi * v[j];
      lanes[lane] += row[j] * u[j];
      y[j] += ui * row[j];
    }
    const double sum =
        ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
    y[i] += row[i] * ui + sum;
  }
}

void advance(const AdvanceArgs& args) { args.v ? advance_rows<true>(args) : advance_rows<false>(args); }

template <int vectors>
void reflect_columns(const ReflectArgs& args, std::ptrdiff_t first) {
  Vector sums[vectors] = {};
  const double* from = args.z + first;
  for (std::ptrdiff_t i = 0; i < args.rows; ++i, from += args.stride) {
#pragma GCC unroll 16
    for (int part = 0; part < vectors; ++part) sums[part] += args.u[i] * load(from + part * kWidth);
  }
#pragma GCC unroll 16
  for (int part = 0; part < vectors; ++part) sums[part] *= args.tau;
  double* to = args.z + first;
  for (std::ptrdiff_t i = 0; i < args.rows; ++i, to += args.stride) {
#pragma GCC unroll 16
    for (int part = 0; part < vectors; ++part)
      store(to + part * kWidth, load(to + part * kWidth) - args.u[i] * sums[part]);
  }
}

void reflect(const ReflectArgs& args) {
  constexpr std::ptrdiff_t kMany = 8 * kWidth;
  std::ptrdiff_t first = 0;
  for (; first + kMany <= args.columns; first += kMany) reflect_columns<8>(args, first);
  for (; first < args.columns; first += kReflectColumns) reflect_columns<kReflectColumns / kWidth>(args, first);
}

}  // namespace

extern const SymmetricTable PETRAIN_TABLE(symmetric) = {advance, reflect};

}  // namespace petrain::kernels
