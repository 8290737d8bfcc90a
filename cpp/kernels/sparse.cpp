#include "sparse.hpp"

#include "vectors.hpp"

namespace petrain::kernels {
namespace {

using std::int32_t;
using std::ptrdiff_t;

// Sums that the registers hold beside what is multiplied.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kSums = 24;
#else
constexpr int kSums = 12;
#endif
constexpr int kWidth = kVectorBytes / sizeof(float), kMostRows = 12;

// One for each width: compilers drop an attribute that depends on a parameter.
template <int width>
struct VectorOf;
template <>
struct VectorOf<4> {
  using type = float __attribute__((vector_size(16)));
};
template <>
struct VectorOf<8> {
  using type = float __attribute__((vector_size(32)));
};
template <>
struct VectorOf<16> {
  using type = float __attribute__((vector_size(64)));
};
template <int width>
using Vector = typename VectorOf<width>::type;

template <int group>
struct Shape {
  static constexpr int width = group < kWidth ? group : kWidth, vectors = group / width;
  static constexpr int most_rows = kSums / vectors < kMostRows ? kSums / vectors : kMostRows;
};

// How many groups of so many vectors go together, so that no sum waits for the one before.
constexpr int together(int vectors) { return vectors * 4 <= kSums ? 4 : vectors * 2 <= kSums ? 2 : 1; }

template <int group, int rows>
using RowSums = Vector<Shape<group>::width>[rows][Shape<group>::vectors];

template <int value_>
struct Count {
  static constexpr int value = value_;
};

// add(Count, first, steps, how many of them, whether to add to what is there): `count` groups at a time, as far as all
// of them go, then what is left of each.
template <int count, class Add>
void in_turns(const SparseSteps* groups, int together, int group, bool accumulate, Add&& add) {
  for (int first = 0; first < together; first += count) {
    const bool whole = count > 1 && first + count <= together;
    ptrdiff_t common = 0;
    if (whole) {
      common = groups[first].count;
      for (int t = 1; t < count; ++t) common = groups[first + t].count < common ? groups[first + t].count : common;
      add(Count<count>{}, first, groups + first, common, accumulate);
    }
    for (int t = first; t < first + count && t < together; ++t) {
      if (whole && groups[t].count == common) continue;
      const SparseSteps rest = {groups[t].values + common * group, groups[t].positions + common,
                                groups[t].count - common};
      add(Count<1>{}, t, &rest, rest.count, accumulate || whole);
    }
  }
}

template <int group, int rows>
inline void add_step(const float* step, const float* column, RowSums<group, rows>& sums) {
  constexpr int width = Shape<group>::width, vectors = Shape<group>::vectors;
  Vector<width> values[vectors];
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) values[v] = load_vector<Vector<width>>(step + v * width);
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sums[i][v] += column[i] * values[v];
  }
}

// y (rows, count · group) of `steps` steps of each group.
template <int group, int rows, int count>
__attribute__((noinline)) void add_groups(const float* x, const SparseSteps* groups, ptrdiff_t steps, float* y,
                                          ptrdiff_t y_stride, bool accumulate) {
  constexpr int width = Shape<group>::width, vectors = Shape<group>::vectors;
  const SparseSteps* from = groups;
  const float* values[count];
  const int32_t* positions[count];
  RowSums<group, rows> sums[count] = {};
#pragma GCC unroll 4
  for (int t = 0; t < count; ++t, ++from) {
    values[t] = from->values;
    positions[t] = from->positions;
  }
  if (accumulate) {
#pragma GCC unroll 4
    for (int t = 0; t < count; ++t) {
#pragma GCC unroll 12
      for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v)
          sums[t][i][v] = load_vector<Vector<width>>(y + i * y_stride + t * group + v * width);
      }
    }
  }
#pragma GCC unroll 1
  for (ptrdiff_t s = 0; s < steps; ++s) {
#pragma GCC unroll 4
    for (int t = 0; t < count; ++t) {
      add_step<group, rows>(values[t] + s * group, x + static_cast<ptrdiff_t>(positions[t][s]) * rows, sums[t]);
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < count; ++t) {
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) store_vector(y + i * y_stride + t * group + v * width, sums[t][i][v]);
    }
  }
}

template <int group, int rows>
void tile(const SparseRowsArgs& args) {
  constexpr int count = together(rows * Shape<group>::vectors);
  in_turns<count>(args.groups, args.together, group, args.accumulate,
                  [&](auto many, int first, const SparseSteps* groups, ptrdiff_t steps, bool accumulate) {
                    add_groups<group, rows, decltype(many)::value>(args.x, groups, steps, args.y + first * group,
                                                                   args.y_stride, accumulate);
                  });
}

template <int group, int rows = 1>
void tile_of(const SparseRowsArgs& args) {
  if (args.rows == rows) {
    tile<group, rows>(args);
  } else if constexpr (rows < Shape<group>::most_rows) {
    tile_of<group, rows + 1>(args);
  }
}

int most_rows(int group) {
  return group == 4 ? Shape<4>::most_rows : group == 8 ? Shape<8>::most_rows : Shape<16>::most_rows;
}

void rows(const SparseRowsArgs& args, int group) {
  if (group == 4) tile_of<4>(args);
  if (group == 8) tile_of<8>(args);
  if (group == 16) tile_of<16>(args);
}

constexpr int most_vectors(int group) { return kSums / group < 8 ? kSums / group : 8; }

// y (count · group, lanes) of `steps` steps of each group.
template <int group, int vectors, int count>
__attribute__((noinline)) void add_outputs(const float* x, const SparseSteps* groups, ptrdiff_t steps, float* y,
                                           bool accumulate) {
  const float* values[count];
  const int32_t* positions[count];
  Vector<kWidth> sums[count][group][vectors] = {};
#pragma GCC unroll 4
  for (int t = 0; t < count; ++t) {
    values[t] = groups[t].values;
    positions[t] = groups[t].positions;
  }
  if (accumulate) {
#pragma GCC unroll 4
    for (int t = 0; t < count; ++t) {
#pragma GCC unroll 4
      for (int r = 0; r < group; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v)
          sums[t][r][v] = load_vector<Vector<kWidth>>(y + ((t * group + r) * vectors + v) * kWidth);
      }
    }
  }
#pragma GCC unroll 1
  for (ptrdiff_t s = 0; s < steps; ++s) {
#pragma GCC unroll 4
    for (int t = 0; t < count; ++t) {
      const float* from = x + static_cast<ptrdiff_t>(positions[t][s]) * vectors * kWidth;
      Vector<kWidth> column[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) column[v] = load_vector<Vector<kWidth>>(from + v * kWidth);
#pragma GCC unroll 4
      for (int r = 0; r < group; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) sums[t][r][v] += column[v] * values[t][s * group + r];
      }
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < count; ++t) {
#pragma GCC unroll 4
    for (int r = 0; r < group; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) store_vector(y + ((t * group + r) * vectors + v) * kWidth, sums[t][r][v]);
    }
  }
}

template <int group, int vectors = 1>
void lanes_of(const SparseLanesArgs& args) {
  if (args.lanes == vectors * kWidth) {
    in_turns<together(vectors * group)>(
        args.groups, args.together, group, false,
        [&](auto many, int first, const SparseSteps* groups, ptrdiff_t steps, bool accumulate) {
          add_outputs<group, vectors, decltype(many)::value>(args.x, groups, steps, args.y + first * group * args.lanes,
                                                             accumulate);
        });
  } else if constexpr (vectors < most_vectors(group)) {
    lanes_of<group, vectors + 1>(args);
  }
}

int most_lanes(int group) { return most_vectors(group) * kWidth; }

void lanes(const SparseLanesArgs& args) {
  if (args.group == 1) lanes_of<1>(args);
  if (args.group == 2) lanes_of<2>(args);
  if (args.group == 4) lanes_of<4>(args);
}

void input_gradient(const SparseInputGradientArgs& args) {
  const float* __restrict g = args.g;
  for (ptrdiff_t s = 0; s < args.steps.count; ++s) {
    const float* __restrict values = args.steps.values + s * args.group;
    float* __restrict to = args.dx + static_cast<ptrdiff_t>(args.steps.positions[s]) * kGradientLanes;
    float sums[kGradientLanes];
    for (int lane = 0; lane < kGradientLanes; ++lane) sums[lane] = to[lane];
    for (int r = 0; r < args.group; ++r) {
#pragma omp simd
      for (int lane = 0; lane < kGradientLanes; ++lane) sums[lane] += values[r] * g[r * kGradientLanes + lane];
    }
    for (int lane = 0; lane < kGradientLanes; ++lane) to[lane] = sums[lane];
  }
}

template <int group>
void value_gradient_of(const SparseValueGradientArgs& args) {
  for (ptrdiff_t s = 0; s < args.count; ++s) {
    const float* __restrict column = args.x + static_cast<ptrdiff_t>(args.positions[s]) * args.rows;
    float sums[group] = {};
    for (ptrdiff_t i = 0; i < args.rows; ++i) {
      const float* __restrict g = args.g + i * group;
#pragma omp simd
      for (int r = 0; r < group; ++r) sums[r] += column[i] * g[r];
    }
    for (int r = 0; r < group; ++r) args.gradient[s * group + r] = sums[r];
  }
}

void value_gradient(const SparseValueGradientArgs& args) {
  if (args.group == 1) value_gradient_of<1>(args);
  if (args.group == 2) value_gradient_of<2>(args);
  if (args.group == 4) value_gradient_of<4>(args);
  if (args.group == 8) value_gradient_of<8>(args);
  if (args.group == 16) value_gradient_of<16>(args);
}

}  // namespace

extern const SparseTable PETRAIN_TABLE(sparse) = {most_rows, kWidth,         most_lanes,    rows,
                                                  lanes,     input_gradient, value_gradient};

}  // namespace petrain::kernels
