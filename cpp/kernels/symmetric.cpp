#include "symmetric.hpp"

#include "vectors.hpp"

namespace petrain::kernels {
namespace {

constexpr std::ptrdiff_t kLanes = 8;  // of a row's sum

constexpr std::ptrdiff_t kWidth = kVectorBytes / sizeof(double), kVectors = kLanes / kWidth;

using Vector = double __attribute__((vector_size(kVectorBytes)));

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
        Vector a = load_vector<Vector>(row + at);
        if (updated) {
          a -= vi * load_vector<Vector>(w + at) + wi * load_vector<Vector>(v + at);
          store_vector(row + at, a);
        }
        sums[part] += a * load_vector<Vector>(u + at);
        store_vector(y + at, load_vector<Vector>(y + at) + ui * a);
      }
    }
    double lanes[kLanes];
#pragma GCC unroll 4
    for (std::ptrdiff_t part = 0; part < kVectors; ++part) store_vector(lanes + part * kWidth, sums[part]);
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
    for (int part = 0; part < vectors; ++part) sums[part] += args.u[i] * load_vector<Vector>(from + part * kWidth);
  }
#pragma GCC unroll 16
  for (int part = 0; part < vectors; ++part) sums[part] *= args.tau;
  double* to = args.z + first;
  for (std::ptrdiff_t i = 0; i < args.rows; ++i, to += args.stride) {
#pragma GCC unroll 16
    for (int part = 0; part < vectors; ++part)
      store_vector(to + part * kWidth, load_vector<Vector>(to + part * kWidth) - args.u[i] * sums[part]);
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
