#include "dequantize.hpp"

#include <algorithm>

#include "isa.hpp"
#include "quant_checks.hpp"
#include "storage.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kElementsPerThread = 16384;  // below this a thread costs more than it saves

// Scales or zero points in the order of the walk; empty where that is the one in which they are stored.
template <class T>
Tensor in_walk_order(const Tensor& stored, const QuantLayout& layout) {
  if (layout.in_stored_order() || stored.empty()) return {};
  Tensor result = Tensor::uninitialized(stored.dtype(), stored.shape());
  for (std::int64_t place = 0; place < layout.places(); ++place) {
    result.as<T>()[place] = stored.as<T>()[layout.stored(place)];
  }
  return result;
}

}  // namespace

Dequantizer::Dequantizer(const QuantTensor& q)
    : q_(q),
      layout_(q.spec, q.shape),
      scales_(in_walk_order<float>(q.scale, layout_)),
      zero_points_(in_walk_order<std::int8_t>(q.zero_point, layout_)),
      scale_((scales_.empty() ? q.scale : scales_).as<float>()),
      zero_point_((zero_points_.empty() ? q.zero_point : zero_points_).as<std::int8_t>()) {}

void Dequantizer::run(std::int64_t begin, std::int64_t size, const TensorView& to, std::int64_t to_begin) const {
  const auto& kernels = *active_kernels().quant_format;
  alignas(64) std::int8_t integers[kMostElements];
  alignas(64) float rounded_later[kMostElements];
  float* numbers = to.dtype == DType::f32 ? to.as<float>() + to_begin : rounded_later;
  unpack(q_, begin, size, integers);
  layout_.for_each_piece(
      begin, begin + size,
      [&](std::int64_t place, std::int64_t at, std::int64_t count) {
        kernels.dequantize_run(integers + (at - begin), scale_[place], zero_point_ == nullptr ? 0 : zero_point_[place],
                               numbers + (at - begin), count);
      },
      [&](std::int64_t place, std::int64_t at, std::int64_t count) {
        kernels.dequantize_columns(integers + (at - begin), scale_ + place,
                                   zero_point_ == nullptr ? nullptr : zero_point_ + place, numbers + (at - begin),
                                   count);
      });
  if (to.dtype != DType::f32) {
    kernels.store16(numbers, storage_of(to.dtype), to.as<std::uint16_t>() + to_begin, size);
  }
}

Tensor dequantize(const QuantTensor& q, DType dtype) {
  q.validate();
  require_quantizable({nullptr, dtype, {}}, "result");
  Tensor result = Tensor::uninitialized(dtype, q.shape);
  const Dequantizer dequantizer(q);
  const TensorView to = result.view();
  const std::int64_t total = result.size();
  constexpr std::int64_t kStep = Dequantizer::kMostElements;
  const std::int64_t steps = (total + kStep - 1) / kStep;
  parallel(threads_for(std::min(steps, total / kElementsPerThread)), [&](const Team& team) {
    const ChunkRange mine = team.share(steps);
    for (std::int64_t begin = mine.begin * kStep; begin < std::min(mine.end * kStep, total); begin += kStep) {
      dequantizer.run(begin, std::min(kStep, total - begin), to, begin);
    }
  });
  return result;
}

}  // namespace petrain
