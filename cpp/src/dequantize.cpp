#include "checks.hpp"
#include "isa.hpp"
#include "petrain/quant.hpp"
#include "quant_checks.hpp"
#include "quant_layout.hpp"
#include "storage.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kElementsPerThread = 16384;  // below this a thread costs more than it saves
constexpr std::int64_t kStep = 4096;                // elements at a time

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

Tensor dequantize(const QuantTensor& q, DType dtype) {
  q.validate();
  require_quantizable({nullptr, dtype, {}}, "result");
  Tensor result = Tensor::uninitialized(dtype, q.shape);
  const auto& kernels = *active_kernels().quant_format;
  const QuantLayout layout(q.spec, q.shape);
  const Tensor scales = in_walk_order<float>(q.scale, layout);
  const Tensor zero_points = in_walk_order<std::int8_t>(q.zero_point, layout);
  const float* scale = (scales.empty() ? q.scale : scales).as<float>();
  const std::int8_t* zero_point = (zero_points.empty() ? q.zero_point : zero_points).as<std::int8_t>();
  const std::int64_t steps = (layout.size() + kStep - 1) / kStep;
  parallel(threads_for(std::min(steps, layout.size() / kElementsPerThread)), [&](const Team& team) {
    alignas(64) std::int8_t integers[kStep];
    alignas(64) float numbers[kStep];
    const ChunkRange mine = team.share(steps);
    for (std::int64_t begin = mine.begin * kStep; begin < std::min(mine.end * kStep, layout.size()); begin += kStep) {
      const std::int64_t size = std::min(kStep, layout.size() - begin);
      float* to = dtype == DType::f32 ? result.as<float>() + begin : numbers;
      unpack(q, begin, size, integers);
      layout.for_each_piece(
          begin, begin + size,
          [&](std::int64_t place, std::int64_t at, std::int64_t count) {
            kernels.dequantize_run(integers + (at - begin), scale[place], zero_point == nullptr ? 0 : zero_point[place],
                                   to + (at - begin), count);
          },
          [&](std::int64_t place, std::int64_t at, std::int64_t count) {
            kernels.dequantize_columns(integers + (at - begin), scale + place,
                                       zero_point == nullptr ? nullptr : zero_point + place, to + (at - begin), count);
          });
      if (dtype != DType::f32) {
        kernels.store16(numbers, storage_of(dtype), result.as<std::uint16_t>() + begin, size);
      }
    }
  });
  return result;
}

}  // namespace petrain
