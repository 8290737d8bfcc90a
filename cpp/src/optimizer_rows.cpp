// Gradients by rows, as embeddings have them.
#include <algorithm>
#include <numeric>

#include "checks.hpp"
#include "isa.hpp"
#include "optimizer_work.hpp"
#include "rule_list.hpp"
#include "storage.hpp"

namespace petrain {

namespace {

// Sorted, each once, with where each row's gradient begins in `values`: those of rows that come twice are added up
// there, in the type that the rule computes in and in the order in which they came.
struct SortedRows {
  std::vector<std::int64_t> rows, begins;
  Tensor added_up;  // empty where no row comes twice: the gradients are taken as they are
};

// to[i] += from[i], from any type; `first`: to[i] = from[i].
void add_row(const ConstTensorView& grad, std::int64_t begin, std::int64_t width, bool first, Tensor& sum,
             std::int64_t to) {
  const std::byte* from = grad.as<std::byte>() + begin * static_cast<std::int64_t>(dtype_size(grad.dtype));
  if (sum.dtype() == DType::f32) {
    active_kernels().optim->accumulate({sum.as<float>() + to, from, storage_of(grad.dtype), 0, width, 1.0f, first});
    return;
  }
  Tensor narrow(DType::f32, {grad.dtype == DType::f64 ? 0 : width});
  if (grad.dtype != DType::f64) {
    active_kernels().optim->accumulate({narrow.as<float>(), from, storage_of(grad.dtype), 0, width, 1.0f, true});
  }
  auto* target = sum.as<double>() + to;
  for (std::int64_t i = 0; i < width; ++i) {
    const double x = grad.dtype == DType::f64 ? reinterpret_cast<const double*>(from)[i] : narrow.as<float>()[i];
    target[i] = first ? x : target[i] + x;
  }
}

SortedRows sort_rows(const ConstTensorView& grad, Rows rows, std::int64_t width, DType computed) {
  std::vector<std::int64_t> order(rows.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return rows[a] < rows[b]; });
  SortedRows sorted;
  for (const std::int64_t k : order) {
    if (!sorted.rows.empty() && sorted.rows.back() == rows[k]) continue;
    sorted.rows.push_back(rows[k]);
    sorted.begins.push_back(k * width);
  }
  if (sorted.rows.size() == rows.size()) return sorted;
  sorted.added_up = Tensor(computed, {static_cast<std::int64_t>(sorted.rows.size()), width});
  std::int64_t target = -1;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool first = i == 0 || rows[order[i]] != rows[order[i - 1]];
    target += first;
    sorted.begins[target] = target * width;
    add_row(grad, order[i] * width, width, first, sorted.added_up, target * width);
  }
  return sorted;
}

}  // namespace

void check_rows(const ConstTensorView& param, const ConstTensorView& grad, Rows rows, const std::string& what) {
  if (param.shape.empty()) throw std::invalid_argument(what + ": a parameter without dimensions has no rows");
  Shape expected = param.shape;
  expected[0] = static_cast<std::int64_t>(rows.size());
  require_float(grad, expected, what);
  for (std::size_t k = 0; k < rows.size(); ++k) {
    if (rows[k] < 0 || rows[k] >= param.shape[0]) {
      throw std::out_of_range(what + ": row " + std::to_string(k) + ": expected 0 to " +
                              std::to_string(param.shape[0] - 1) + ", got " + std::to_string(rows[k]));
    }
  }
}

// One chunk for each row.
void Optimizer::add_rows(Work& work, std::size_t index, const ConstTensorView& grad, Rows rows) const {
  const Param& param = params_[index];
  const std::string what = "gradient " + std::to_string(index);
  const std::int64_t width = param.view.shape[0] == 0 ? 0 : param.view.size() / param.view.shape[0];
  if (work.params[index].matrix || rule_list()[work.params[index].rule].trust != nullptr) {
    throw std::invalid_argument(what + ": a rule that looks at the tensor as a whole needs the whole gradient");
  }
  for (const kernels::State& state : rule_list()[work.params[index].rule].states) {
    if (state.kind == kernels::StateKind::exact) {  // rows that come later would start from a state of zero
      throw std::invalid_argument(what + ": a rule whose " + state.name +
                                  " starts as a copy of the parameter needs the whole gradient");
    }
  }
  for (const Tensor& state : param.states) {
    if (dtype_size(state.dtype()) == 1 && width % kCodesPerScale != 0) {
      throw std::invalid_argument(what + ": rows with states in 8-bit codes need a multiple of " +
                                  std::to_string(kCodesPerScale) + " elements, got " + std::to_string(width));
    }
  }
  const DType computed = param.view.dtype == DType::f64 ? DType::f64 : DType::f32;
  SortedRows sorted = sort_rows(grad, rows, width, computed);
  if (!sorted.added_up.empty()) {
    work.params[index].args.grad = sorted.added_up.as<std::byte>();
    work.params[index].args.grad_storage = storage_of(computed);
    work.added_up.push_back(std::move(sorted.added_up));  // its memory stays where it is
  }
  for (std::size_t k = 0; k < sorted.rows.size() && width > 0; ++k) {
    work.by_rows.push_back({index, sorted.rows[k] * width, width, sorted.begins[k]});
  }
}

}  // namespace petrain
