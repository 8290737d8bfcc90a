#include "petrain/quant_rnn.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <utility>

#include "checks.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "quant_epilogue.hpp"
#include "rnn_run.hpp"

namespace petrain {
namespace {

std::int64_t gates_of(Cell cell) { return cell == Cell::lstm ? 4 : 3; }

Tensor checked_bias(const ConstTensorView& bias, std::int64_t size, const std::string& what) {
  if (bias.data == nullptr) return {};
  require(bias, DType::f32, {size}, what);
  require_finite(bias, what);
  if (const float most = active_kernels().quant->max_abs_run(bias.as<float>(), size); most > kMostAddend) {
    throw std::invalid_argument(what + ": expected numbers of at most " + number_text(kMostAddend) + ", got " +
                                number_text(most));
  }
  Tensor copy = Tensor::uninitialized(DType::f32, {size});
  std::copy_n(bias.as<float>(), size, copy.as<float>());
  return copy;
}

}  // namespace

QuantRnn::QuantRnn(Cell cell, std::shared_ptr<const QuantLinear> w_ih, std::shared_ptr<const QuantLinear> w_hh,
                   const ConstTensorView& b_ih, const ConstTensorView& b_hh)
    : cell_(cell), w_ih_(std::move(w_ih)), w_hh_(std::move(w_hh)) {
  if (w_ih_ == nullptr || w_hh_ == nullptr) throw std::invalid_argument("w_ih, w_hh: expected two weights, got none");
  const std::int64_t hidden = hidden_size(), gates = gates_of(cell);
  const Shape &input = w_ih_->weight().shape, &recurrent = w_hh_->weight().shape;
  if (input[0] != gates * hidden || recurrent[0] != gates * hidden) {
    const std::string rows = std::to_string(gates) + " H, ";
    throw std::invalid_argument("expected w_ih (" + rows + "I) and w_hh (" + rows + "H), got " + shape_text(input) +
                                " and " + shape_text(recurrent));
  }
  b_ih_ = checked_bias(b_ih, gates * hidden, "b_ih");
  b_hh_ = checked_bias(b_hh, gates * hidden, "b_hh");
}

QuantRnn::QuantRnn(Cell cell, QuantTensor w_ih, QuantTensor w_hh, const ConstTensorView& b_ih,
                   const ConstTensorView& b_hh)
    : QuantRnn(cell, std::make_shared<const QuantLinear>(std::move(w_ih)),
               std::make_shared<const QuantLinear>(std::move(w_hh)), b_ih, b_hh) {}

RnnResult QuantRnn::forward(const ConstTensorView& x, const RnnOptions& options) const {
  const std::array directions = {RnnRun::Direction{this, options.reverse}};
  return RnnRun(directions, x, options).run();
}

RnnResult bidirectional(const QuantRnn& forward, const QuantRnn& backward, const ConstTensorView& x,
                        const RnnOptions& options) {
  if (options.reverse) throw std::invalid_argument("reverse: expected false for both directions, got true");
  if (forward.cell() != backward.cell() || forward.input_size() != backward.input_size() ||
      forward.hidden_size() != backward.hidden_size()) {
    throw std::invalid_argument("expected two layers of one kind and size, got input " +
                                std::to_string(forward.input_size()) + " and " + std::to_string(backward.input_size()) +
                                ", hidden " + std::to_string(forward.hidden_size()) + " and " +
                                std::to_string(backward.hidden_size()));
  }
  const std::array directions = {RnnRun::Direction{&forward, false}, RnnRun::Direction{&backward, true}};
  return RnnRun(directions, x, options).run();
}

}  // namespace petrain
