#include "sparse_int8.hpp"

#include <algorithm>

#include "isa.hpp"
#include "quant_epilogue.hpp"
#include "quant_rows.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

using kernels::kGatherSlack;
using kernels::kPanel;
using kernels::kWindow;
static_assert(kernels::kSparseOutputs == kPanel);

constexpr std::int64_t kApart = 64;      // bytes, so that equal places of rows lie in different cache sets
constexpr std::int64_t kMostFew = 4;     // rows that are multiplied one by one
constexpr std::int64_t kMostSigned = 8;  // rows for which adding what was taken off costs more than it saves

std::int64_t rounded_up(std::int64_t x, std::int64_t step) { return (x + step - 1) / step * step; }

bool few(std::int64_t rows) { return rows <= kMostFew && active_kernels().sparse_int8->row != nullptr; }

// Whether nothing is taken off. VNNI has no need of it: its tiles are the dense ones.
bool whole(std::int64_t rows) {
  const auto& table = active_kernels();
  return rows <= kMostSigned && table.int_gemm->limited && table.sparse_int8->tile != nullptr;
}

}  // namespace

SparseInt8::SparseInt8(const SparseTensor& weight, const StepIndex& steps)
    : weight_(weight),
      positions_(steps.positions),
      starts_(steps.starts),
      largest_scale_(*std::max_element(weight.scale.as<float>(), weight.scale.as<float>() + weight.scale.size())),
      values_(Tensor::uninitialized(DType::i8, {weight.values.size()})) {
  require_depth(weight.shape[1], false, false, "w");
  const SparsePattern& pattern = weight.pattern;
  const auto* from = weight.values.as<std::int8_t>();
  panel_starts_.push_back(0);
  for (std::int64_t g = 0; g < weight.groups(); ++g) {
    auto* to = values_.as<std::int8_t>() + starts_[g] * kPanel;
    for (std::int64_t s = 0; s < count(g); ++s) {
      for (std::int64_t r = 0; r < kPanel; ++r) to[r * count(g) + s] = from[(starts_[g] + s) * kPanel + r];
    }
    most_steps_ = std::max(most_steps_, count(g));
    panel_starts_.push_back(panel_starts_.back() + rounded_up(count(g), 4) * kPanel);
  }
  if (pattern.blocks() || kWindow % pattern.m != 0 || weight.shape[1] % kWindow != 0) return;
  in_window_ = static_cast<int>(kWindow / pattern.m * pattern.n);
  places_.resize(positions_.size() + kGatherSlack);
  for (std::size_t i = 0; i < positions_.size(); ++i) {
    places_[i] = static_cast<std::uint8_t>(positions_[i] % kWindow);
  }
}

void SparseInt8::gather(std::int64_t g, const std::int8_t* row, std::int8_t* to) const {
  active_kernels().sparse_int8->gather({row, positions_.data() + starts_[g], count(g),
                                        places_.empty() ? nullptr : places_.data() + starts_[g], in_window_, to});
}

void SparseInt8::pack() const {
  std::call_once(packed_once_, [this] {
    std::vector<Group> groups(static_cast<std::size_t>(weight_.groups()));
    parallel_for(weight_.groups(), [&](std::int64_t g) {
      if (count(g) == 0) return;
      Group& group = groups[static_cast<std::size_t>(g)];
      group.matrix = std::make_unique<IntMatrix>(values_.as<std::int8_t>() + starts_[g] * kPanel, kPanel, count(g));
      group.matrix->column_sums();
      for (const std::int32_t k : group.matrix->packed().excess_k) {
        group.excess_k.push_back(positions_[static_cast<std::size_t>(starts_[g] + k)]);
      }
    });
    groups_ = std::move(groups);
  });
}

void SparseInt8::pack_panels() const {
  std::call_once(panels_once_, [this] {
    Tensor panels(DType::i8, {panel_starts_.back()});
    const auto* from = weight_.values.as<std::int8_t>();
    for (std::int64_t g = 0; g < weight_.groups(); ++g) {
      auto* to = panels.as<std::int8_t>() + panel_starts_[g];
      for (std::int64_t s = 0; s < count(g); ++s) {
        for (std::int64_t r = 0; r < kPanel; ++r) {
          to[(s / 4 * kPanel + r) * 4 + s % 4] = from[(starts_[g] + s) * kPanel + r];
        }
      }
    }
    panels_ = std::move(panels);
  });
}

namespace {

void rescale(const std::int32_t* sums, const SparseTensor& w, std::int64_t g, float x_scale, float* to) {
  active_kernels().quant->rescale({sums, w.scale.as<float>() + g * kPanel, to, kPanel, x_scale});
}

}  // namespace

class SparseInt8::FewRows final : public RowBlocks {
 public:
  FewRows(const SparseInt8& product, const QuantRows& rows)
      : product_(product),
        rows_(rows),
        in_fours_(product.weight_.pattern.columns % 4 == 0 && product.weight_.pattern.blocks()),
        gathered_(DType::i8, {rounded_up(product.most_steps_, 4) + kGatherSlack}) {}

  void fill(std::int64_t, std::int64_t) override {}

  void multiply(const Block<float>& block) override {
    for (std::int64_t j = 0; j < block.columns; j += kPanel) {
      const std::int64_t g = (block.column + j) / kPanel;
      for (std::int64_t i = 0; i < block.rows; ++i) {
        alignas(64) std::int32_t sums[kPanel];
        const std::int8_t* row = rows_.row(block.row + i);
        if (!in_fours_) product_.gather(g, row, gathered_.as<std::int8_t>());
        active_kernels().sparse_int8->row({in_fours_ ? row : gathered_.as<std::int8_t>(),
                                           in_fours_ ? product_.positions_.data() + product_.starts_[g] : nullptr,
                                           product_.panels_.as<std::int8_t>() + product_.panel_starts_[g],
                                           (product_.count(g) + 3) / 4, sums});
        rescale(sums, product_.weight_, g, rows_.scale(block.row + i), block.sums + i * block.stride + j);
      }
    }
  }

 private:
  const SparseInt8& product_;
  const QuantRows& rows_;
  bool in_fours_;
  Tensor gathered_;
};

class SparseInt8::Rows final : public RowBlocks {
 public:
  Rows(const SparseInt8& product, const QuantRows& rows, std::int64_t most_rows)
      : product_(product),
        rows_(rows),
        kernel_(*active_kernels().int_gemm),
        gathered_(DType::i8, {product.most_steps_ + kGatherSlack}),
        stride_(rounded_up(product.most_steps_, kernels::kDepthStep) * sizeof(std::int16_t) + kApart),
        prepared_(DType::i8, {rounded_up(most_rows, kernels::kRowStep), stride_}) {
    if (!kernel_.limited) return;
    fours_ =
        Tensor::uninitialized(DType::u8, {rounded_up(product.most_steps_, kernels::kDepthStep) * kernels::kFoursRows});
    transposed_ = Tensor(DType::i8, {rows.k, kernels::kMostRows});
    whole_ = Tensor(DType::i8, {rounded_up(most_rows, kernels::kRowStep), rounded_up(rows.k, kernels::kDepthStep)});
  }

  void fill(std::int64_t first, std::int64_t count) override {
    if (transposed_.empty()) return;
    const std::int64_t stride = whole_.shape()[1];
    for (std::int64_t i = 0; i < count; ++i) {
      kernel_.narrow.prepare_row(rows_.row(first + i), rows_.k, whole_.as<std::int8_t>() + i * stride);
    }
    kernel_.transpose(whole_.as<std::int8_t>(), stride, static_cast<int>(count), rows_.k,
                      transposed_.as<std::int8_t>());
  }

  void multiply(const Block<float>& block) override {
    alignas(64) std::int32_t sums[kernels::kMostRows * kPanel];
    for (std::int64_t j = 0; j < block.columns; j += kPanel) {
      const std::int64_t g = (block.column + j) / kPanel;
      if (product_.count(g) == 0) {
        std::fill(std::begin(sums), std::end(sums), 0);
      } else if (whole(rows_.m)) {
        multiply_fours(g, product_.panels_.as<std::int8_t>() + product_.panel_starts_[g], nullptr,
                       (product_.count(g) + 3) / 4, static_cast<int>(block.rows), sums);
      } else {
        multiply(g, block, sums);
      }
      for (std::int64_t i = 0; i < block.rows; ++i) {
        rescale(sums + i * kPanel, product_.weight_, g, rows_.scale(block.row + i), block.sums + i * block.stride + j);
      }
    }
  }

 private:
  void multiply(std::int64_t g, const Block<float>& block, std::int32_t* sums) {
    const Group& group = product_.groups_[static_cast<std::size_t>(g)];
    const PackedInt8& packed = group.matrix->packed();
    const kernels::IntRoute& route = packed.narrow ? kernel_.narrow : kernel_.wide;
    const auto rows = static_cast<int>(block.rows);
    if (kernel_.limited) {
      multiply_fours(g, packed.panels.as<std::int8_t>(),
                     packed.narrow ? group.matrix->column_sums().as<std::int32_t>() : nullptr,
                     group.matrix->depth() / 4, rows, sums);
      if (packed.first.empty()) return;
      kernel_.add_excess({transposed_.as<std::int8_t>(), group.excess_k.data(), packed.excess_values.data(),
                          packed.first.data(), sums, kPanel, rows});
      return;
    }
    for (int i = 0; i < rows; ++i) {
      product_.gather(g, rows_.row(block.row + i), gathered_.as<std::int8_t>());
      route.prepare_row(gathered_.as<std::int8_t>(), product_.count(g), prepared_.as<std::int8_t>() + i * stride_);
    }
    route.tile({prepared_.as<std::int8_t>(), stride_, packed.panels.as<std::int8_t>(),
                group.matrix->column_sums().as<std::int32_t>(), sums, kPanel, group.matrix->depth(), rows});
  }

  void multiply_fours(std::int64_t g, const std::int8_t* panel, const std::int32_t* column_sums, std::int64_t fours,
                      int rows, std::int32_t* sums) {
    const kernels::SparseInt8Table& kernel = *active_kernels().sparse_int8;
    for (int first = 0; first < rows; first += kernels::kFoursRows) {
      kernel.fours({transposed_.as<std::int8_t>() + first, product_.positions_.data() + product_.starts_[g],
                    product_.count(g), fours, fours_.as<std::uint8_t>()});
      kernel.tile({fours_.as<std::uint8_t>(), fours, panel, column_sums, sums + first * kPanel,
                   std::min(kernels::kFoursRows, rows - first)});
    }
  }

  const SparseInt8& product_;
  const QuantRows& rows_;
  const kernels::IntGemmTable& kernel_;
  Tensor gathered_;
  std::int64_t stride_;
  Tensor prepared_, whole_, transposed_, fours_;
};

void SparseInt8::forward(const ConstTensorView& x, const TensorView& y, const ConstTensorView& bias) const {
  const std::int64_t n = weight_.shape[0], k = weight_.shape[1];
  LinearOptions options;
  options.bias = bias;
  require_rows(x, k, "x");
  const Epilogue epilogue(x, y, x.shape.size() == 1 ? Shape{n} : Shape{x.shape[0], n}, n, options);
  const QuantRows rows = quantize_rows(x, k, {}, "x");
  require_finite_products(rows.largest_scale, largest_scale_, k, false);
  const bool one_by_one = few(rows.m);
  if (one_by_one || whole(rows.m)) {
    pack_panels();
  } else {
    pack();
  }
  const auto make = [&](std::int64_t most_rows) -> std::unique_ptr<RowBlocks> {
    if (one_by_one) return std::make_unique<FewRows>(*this, rows);
    return std::make_unique<Rows>(*this, rows, most_rows);
  };
  const std::int64_t steps = static_cast<std::int64_t>(positions_.size()) * kPanel / n;
  for_each_block<float>(BlockGrid(rows.m, n, std::max<std::int64_t>(1, steps)), make,
                        [&](const Block<float>& block) { epilogue.finish(block); });
}

}  // namespace petrain
