#include "petrain/quant.hpp"

#include <atomic>
#include <utility>

#include "checks.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kElementsPerThread = 16384;  // below this a thread costs more than it saves
constexpr std::int64_t kColumns = 256;

// An array seen as (outer, channels, inner). Where inner is 1, neighbours are of different channels, and a task is a
// block of columns; else a task is one channel, whose elements come in runs of `inner`.
struct Layout {
  std::int64_t outer = 1, channels = 1, inner = 1;

  Layout(const Shape& shape, int axis) {
    for (std::size_t d = 0; d < shape.size(); ++d) {
      (std::cmp_less(d, axis) ? outer : std::cmp_equal(d, axis) ? channels : inner) *= shape[d];
    }
  }
  std::int64_t tasks() const { return inner > 1 ? channels : (channels + kColumns - 1) / kColumns; }

  // run(channel, offset, size) and columns(first channel, offset, size) for every piece of the task.
  template <class Run, class Columns>
  void for_each_piece(std::int64_t task, Run&& run, Columns&& columns) const {
    const std::int64_t first = task * kColumns;
    for (std::int64_t o = 0; o < outer; ++o) {
      if (inner > 1) {
        run(task, (o * channels + task) * inner, inner);
      } else {
        columns(first, o * channels + first, std::min(kColumns, channels - first));
      }
    }
  }

  template <class Body>
  void parallel_for_tasks(Body&& body) const {
    const std::int64_t useful = outer * channels * inner / kElementsPerThread;
    parallel(threads_for(std::min(tasks(), useful)), [&](const Team& team) {
      const ChunkRange mine = team.share(tasks());
      for (std::int64_t task = mine.begin; task < mine.end; ++task) body(task);
    });
  }
};

int normalized_axis(int axis, const Shape& shape) {
  const int dimensions = static_cast<int>(shape.size());
  if (axis < -dimensions || axis >= dimensions) {
    throw std::out_of_range("axis: expected " + std::to_string(-dimensions) + " to " + std::to_string(dimensions - 1) +
                            " for shape " + shape_text(shape) + ", got " + std::to_string(axis));
  }
  return axis < 0 ? axis + dimensions : axis;
}

void require_dimensions(const Shape& shape, const std::string& what) {
  if (shape.empty()) throw std::invalid_argument(what + ": expected at least one dimension, got shape ()");
}

// Maximum, scale and values of the channels of one task. False where one of them is not finite.
bool quantize_task(const Layout& layout, std::int64_t task, const float* w, QuantTensor& q) {
  const auto& kernels = *active_kernels().quant;
  auto* values = q.values.as<std::int8_t>();
  auto* scale = q.scale.as<float>();  // holds the maxima first
  layout.for_each_piece(
      task,
      [&](auto channel, auto offset, auto size) {
        const float most = kernels.max_abs_run(w + offset, size);
        kernels.max_abs_columns(&most, scale + channel, 1);
      },
      [&](auto first, auto offset, auto size) { kernels.max_abs_columns(w + offset, scale + first, size); });
  const std::int64_t first = layout.inner > 1 ? task : task * kColumns;
  const std::int64_t last = layout.inner > 1 ? task + 1 : std::min(first + kColumns, layout.channels);
  for (std::int64_t c = first; c < last; ++c) {
    if (!std::isfinite(scale[c])) return false;
    scale[c] = scale_for(scale[c]);
  }
  layout.for_each_piece(
      task,
      [&](auto channel, auto offset, auto size) {
        kernels.quantize_run(w + offset, scale[channel], values + offset, size);
      },
      [&](auto begin, auto offset, auto size) {
        kernels.quantize_columns(w + offset, scale + begin, values + offset, size);
      });
  return true;
}

}  // namespace

QuantTensor::QuantTensor(Tensor values_in, Tensor scale_in, int axis_in, Tensor zero_point_in)
    : values(std::move(values_in)), scale(std::move(scale_in)), zero_point(std::move(zero_point_in)), axis(axis_in) {
  require_dimensions(shape(), "values");
  axis = normalized_axis(axis, shape());
  if (zero_point.empty() && zero_point.shape().empty()) zero_point = Tensor(DType::i8, {shape()[axis]});
  validate();
}

void QuantTensor::validate() const {
  require_dtype(values.view(), DType::i8, "values");
  require_dimensions(shape(), "values");
  require_elements(values.view(), "values");
  if (axis != normalized_axis(axis, shape()))
    throw std::out_of_range("axis: expected 0 or more, got " + std::to_string(axis));
  const std::int64_t channels = shape()[axis];
  require(scale.view(), DType::f32, {channels}, "scale");
  require(zero_point.view(), DType::i8, {channels}, "zero_point");
  for (std::int64_t c = 0; c < channels; ++c) {
    const float s = scale.as<float>()[c];
    if (!(s > 0) || !std::isfinite(s)) {
      throw std::invalid_argument("scale: expected positive, finite values, got " + number_text(s) + " at index " +
                                  std::to_string(c));
    }
    if (const int z = zero_point.as<std::int8_t>()[c]; z != 0) {
      throw std::invalid_argument("zero_point: expected 0, as the format is symmetric, got " + std::to_string(z) +
                                  " at index " + std::to_string(c));
    }
  }
}

QuantTensor quantize(const ConstTensorView& w, int axis) {
  require_dtype(w, DType::f32, "w");
  require_dimensions(w.shape, "w");
  axis = normalized_axis(axis, w.shape);
  require_elements(w, "w");
  QuantTensor q;
  q.axis = axis;
  q.values = Tensor(DType::i8, w.shape);
  q.scale = Tensor(DType::f32, {w.shape[axis]});
  q.zero_point = Tensor(DType::i8, {w.shape[axis]});
  const Layout layout(w.shape, axis);
  std::atomic<bool> finite{true};
  layout.parallel_for_tasks([&](std::int64_t task) {
    if (!quantize_task(layout, task, w.as<float>(), q)) finite = false;
  });
  if (!finite) require_finite(w, "w");
  return q;
}

Tensor dequantize(const QuantTensor& q) {
  q.validate();
  Tensor result(DType::f32, q.shape());
  const auto& kernels = *active_kernels().quant;
  const auto* values = q.values.as<std::int8_t>();
  const auto* scale = q.scale.as<float>();
  auto* out = result.as<float>();
  const Layout layout(q.shape(), q.axis);
  layout.parallel_for_tasks([&](std::int64_t task) {
    layout.for_each_piece(
        task,
        [&](auto channel, auto offset, auto size) {
          kernels.dequantize_run(values + offset, scale[channel], out + offset, size);
        },
        [&](auto first, auto offset, auto size) {
          kernels.dequantize_columns(values + offset, scale + first, out + offset, size);
        });
  });
  return result;
}

}  // namespace petrain
