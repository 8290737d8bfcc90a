#include "rnn_run.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "checks.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "quant_epilogue.hpp"
#include "quant_product.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kGateBlock = 1 << 20;          // gates of the input that are there at one time
constexpr std::int64_t kProductsPerThread = 1 << 20;  // below this a thread costs more than it saves
constexpr std::int64_t kRowsPerThread = 8;

// A gate is the sum of two products and two biases: where each is at most kMostAddend, it is finite.
void require_finite_gates(float most, const QuantTensor& w, const std::string& what) {
  const float largest = *std::max_element(w.scale.as<float>(), w.scale.as<float>() + w.scale.size());
  require_finite_products(most / 127.0F, largest, w.shape[1], in_groups(w), what);
}

// Throws where it is not a batch; what the members of RnnRun are made of.
const ConstTensorView& require_batch(const ConstTensorView& x, std::int64_t input, const RnnOptions& options) {
  require_dtype(x, DType::f32, "x");
  if (x.shape.size() != 3 || x.shape[2] != input) {
    throw std::invalid_argument("x: expected shape (T, B, " + std::to_string(input) + "), got " + shape_text(x.shape));
  }
  require_elements(x, "x");
  if (options.lengths.data == nullptr) return x;
  require(options.lengths, DType::i64, {x.shape[1]}, "lengths");
  for (std::int64_t b = 0; b < x.shape[1]; ++b) {
    const std::int64_t length = options.lengths.as<std::int64_t>()[b];
    if (length >= 0 && length <= x.shape[0]) continue;
    throw std::invalid_argument("lengths: expected 0 to " + std::to_string(x.shape[0]) + ", got " +
                                std::to_string(length) + " at index " + std::to_string(b));
  }
  return x;
}

}  // namespace

Packing::Packing(std::int64_t steps, std::int64_t batch, const std::int64_t* lengths)
    : order(static_cast<std::size_t>(batch)), first(static_cast<std::size_t>(steps + 1)) {
  std::iota(order.begin(), order.end(), 0);
  if (lengths != nullptr) {
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return lengths[a] > lengths[b]; });
  }
  std::int64_t count = batch;
  for (std::int64_t t = 0; t < steps; ++t) {
    while (lengths != nullptr && count > 0 && lengths[order[count - 1]] <= t) --count;
    first[t + 1] = first[t] + count;
  }
}

RnnRun::RnnRun(std::span<const Direction> directions, const ConstTensorView& x, const RnnOptions& options)
    : directions_(directions.begin(), directions.end()),
      x_(require_batch(x, directions[0].layer->input_size(), options)),
      steps_(x.shape[0]),
      batch_(x.shape[1]),
      input_(x.shape[2]),
      hidden_(directions[0].layer->hidden_size()),
      packing_(steps_, batch_, options.lengths.as<std::int64_t>()) {
  require_input(options);
  if (packing_.rows() < steps_ * batch_) {
    packed_x_ = Tensor::uninitialized(DType::f32, {packing_.rows(), input_});
    for (std::int64_t t = 0; t < steps_; ++t) {
      for (std::int64_t i = 0; i < packing_.count(t); ++i) {
        std::copy_n(x_.as<float>() + (t * batch_ + packing_.order[i]) * input_, input_,
                    packed_x_.as<float>() + (packing_.first[t] + i) * input_);
      }
    }
  }
  const auto count = static_cast<std::int64_t>(directions_.size());
  result_.y = Tensor(DType::f32, {steps_, batch_, count * hidden_});
  const Shape states = count == 1 ? Shape{batch_, hidden_} : Shape{count, batch_, hidden_};
  result_.h = Tensor::uninitialized(DType::f32, states);
  if (directions_[0].layer->cell() == Cell::lstm) result_.c = Tensor::uninitialized(DType::f32, states);
  make_jobs(options);
}

void RnnRun::require_input(const RnnOptions& options) const {
  const bool both = directions_.size() == 2, lstm = directions_[0].layer->cell() == Cell::lstm;
  const Shape states = both ? Shape{2, batch_, hidden_} : Shape{batch_, hidden_};
  float most_x = 0, most_h = 1;
  for (std::int64_t t = 0; t < steps_; ++t) {
    for (std::int64_t i = 0; i < packing_.count(t); ++i) {
      const std::int64_t row = t * batch_ + packing_.order[i];
      const float most = active_kernels().quant->max_abs_run(x_.as<float>() + row * input_, input_);
      if (!std::isfinite(most)) {
        const auto* numbers = x_.as<float>() + row * input_;
        const auto* bad = std::find_if(numbers, numbers + input_, [](float number) { return !std::isfinite(number); });
        throw std::invalid_argument("x: expected finite values, got " + (std::isnan(*bad) ? "nan" : number_text(*bad)) +
                                    " at index " + shape_text({t, packing_.order[i], bad - numbers}));
      }
      most_x = std::max(most_x, most);
    }
  }
  if (options.h0.data != nullptr) {
    require(options.h0, DType::f32, states, "h0");
    require_finite(options.h0, "h0");
    most_h = std::max(most_h, active_kernels().quant->max_abs_run(options.h0.as<float>(), options.h0.size()));
  }
  if (options.c0.data != nullptr) {
    if (!lstm) throw std::invalid_argument("c0: expected none, as a GRU has no cell state");
    require(options.c0, DType::f32, states, "c0");
    require_finite(options.c0, "c0");
  }
  for (const Direction& direction : directions_) {
    require_finite_gates(most_x, direction.layer->w_ih_->weight(), "x and w_ih");
    require_finite_gates(most_h, direction.layer->w_hh_->weight(), "h and w_hh");
  }
}

void RnnRun::make_jobs(const RnnOptions& options) {
  const auto count = static_cast<std::int64_t>(directions_.size());
  const std::int64_t row_parts = std::max<std::int64_t>(1, batch_ / kRowsPerThread);
  const std::int64_t products = directions_[0].layer->w_hh_->out_features() * hidden_;  // of a sequence in one step
  threads_ = threads_for(std::min(count * row_parts, count * packing_.rows() * products / kProductsPerThread));
  parts_ = std::clamp<std::int64_t>(threads_ / count, 1, row_parts);
  // What is not shared out by sequences may be by gates.
  const bool all_threads = parts_ * count == 1 && batch_ * products >= 2 * kProductsPerThread;
  for (const Direction& direction : directions_) {
    for (std::int64_t part = 0; part < parts_; ++part) {
      jobs_.emplace_back(*direction.layer, (batch_ - part + parts_ - 1) / parts_, all_threads);
    }
    projected_.emplace_back();
  }
  for_each_state([&](Job& job, std::int64_t row, std::int64_t state) {
    if (options.h0.data != nullptr) {
      std::copy_n(options.h0.as<float>() + state * hidden_, hidden_, job.h.as<float>() + row * hidden_);
    }
    if (options.c0.data != nullptr) {
      std::copy_n(options.c0.as<float>() + state * hidden_, hidden_, job.c.as<float>() + row * hidden_);
    }
  });
}

template <class Copy>
void RnnRun::for_each_state(const Copy& copy) {
  for (std::size_t d = 0; d < directions_.size(); ++d) {
    for (std::int64_t i = 0; i < batch_; ++i) {
      copy(jobs_[d * parts_ + i % parts_], i / parts_, static_cast<std::int64_t>(d) * batch_ + packing_.order[i]);
    }
  }
}

// The gates of the input, for steps begin … end - 1.
void RnnRun::project(std::size_t direction, std::int64_t begin, std::int64_t end) {
  const QuantRnn& layer = *directions_[direction].layer;
  const std::int64_t first = packing_.first[begin], rows = packing_.first[end] - first;
  if (rows == 0) return;
  const float* x = (packed_x_.empty() ? x_.as<float>() : packed_x_.as<float>()) + first * input_;
  Tensor& gates = projected_[direction];
  if (gates.size() < rows * layer.w_ih_->out_features()) {
    gates = Tensor::uninitialized(DType::f32, {rows, layer.w_ih_->out_features()});
  }
  layer.w_ih_->forward({x, DType::f32, {rows, input_}},
                       {gates.as<float>(), DType::f32, {rows, layer.w_ih_->out_features()}},
                       {.bias = layer.b_ih_.view()});
}

// Step t of a job; first_row: where the projected rows begin.
void RnnRun::step(std::size_t index, std::int64_t t, std::int64_t first_row) {
  const std::size_t direction = index / parts_;
  const std::int64_t part = static_cast<std::int64_t>(index) % parts_, active = packing_.count(t);
  const std::int64_t rows = (active - part + parts_ - 1) / parts_;
  if (rows <= 0) return;
  const QuantRnn& layer = *directions_[direction].layer;
  const std::int64_t gates = layer.w_hh_->out_features();
  const auto count = static_cast<std::int64_t>(directions_.size());
  Job& job = jobs_[index];
  auto* recurrent = job.gates.as<float>();
  job.product.run(job.h.as<float>(), rows, layer.b_hh_.view(), recurrent);
  const kernels::RnnTable& kernel = *active_kernels().rnn;
  const auto cell_step = layer.cell() == Cell::lstm ? kernel.lstm_step : kernel.gru_step;
  const float* projected = projected_[direction].as<float>() + (packing_.first[t] - first_row) * gates;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t i = row * parts_ + part;
    float* h = job.h.as<float>() + row * hidden_;
    float* c = job.c.empty() ? nullptr : job.c.as<float>() + row * hidden_;
    cell_step({projected + i * gates, recurrent + row * gates, h, c, hidden_});
    const std::int64_t place = (t * batch_ + packing_.order[i]) * count + static_cast<std::int64_t>(direction);
    std::copy_n(h, hidden_, result_.y.as<float>() + place * hidden_);
  }
}

RnnResult RnnRun::run() {
  const std::int64_t gates = directions_[0].layer->w_hh_->out_features();
  const std::int64_t together = std::max<std::int64_t>(1, kGateBlock / (batch_ * gates));
  for (std::int64_t begin = 0; begin < steps_; begin += together) {
    const std::int64_t end = std::min(begin + together, steps_);
    const auto begin_of = [&](std::size_t d) { return directions_[d].reverse ? steps_ - end : begin; };
    const auto end_of = [&](std::size_t d) { return directions_[d].reverse ? steps_ - begin : end; };
    for (std::size_t d = 0; d < directions_.size(); ++d) project(d, begin_of(d), end_of(d));
    const auto jobs = static_cast<std::int64_t>(jobs_.size());
    parallel(static_cast<int>(std::min<std::int64_t>(threads_, jobs)), [&](const Team& team) {
      const ChunkRange mine = team.share(jobs);
      for (std::int64_t index = mine.begin; index < mine.end; ++index) {
        const std::size_t d = index / parts_;
        for (std::int64_t t = begin_of(d); t < end_of(d); ++t) {
          const std::int64_t at = directions_[d].reverse ? begin_of(d) + end_of(d) - 1 - t : t;
          step(static_cast<std::size_t>(index), at, packing_.first[begin_of(d)]);
        }
      }
    });
  }
  const bool lstm = !result_.c.empty();
  for_each_state([&](Job& job, std::int64_t row, std::int64_t state) {
    std::copy_n(job.h.as<float>() + row * hidden_, hidden_, result_.h.as<float>() + state * hidden_);
    if (lstm) std::copy_n(job.c.as<float>() + row * hidden_, hidden_, result_.c.as<float>() + state * hidden_);
  });
  return std::move(result_);
}

}  // namespace petrain
