#include "conv_image.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "chunks.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kPixels = 64;  // that are transposed at once

// The largest magnitude of each image. False where a number is not finite.
bool find_ranges(const float* x, std::int64_t count, std::int64_t size, const Team& team, Tensor& parts) {
  const std::int64_t chunks = parts.size() / count;
  const ChunkRange mine = team.share(parts.size());
  bool finite = true;
  for (std::int64_t i = mine.begin; i < mine.end; ++i) {
    const std::int64_t begin = i % chunks * kChunk;
    const float most =
        active_kernels().quant->max_abs_run(x + i / chunks * size + begin, std::min(kChunk, size - begin));
    finite = finite && std::isfinite(most);
    parts.as<float>()[i] = most;
  }
  return finite;
}

}  // namespace

ConvImages channels_last(const ConstTensorView& x, std::int64_t count, std::int64_t channels, std::int64_t height,
                         std::int64_t width, const std::optional<QuantParams>& params) {
  ConvImages images;
  images.count = count;
  images.channels = channels;
  images.height = height;
  images.width = width;
  const std::int64_t pixels = height * width, size = channels * pixels;
  images.scales = Tensor(DType::f32, {params ? 1 : count});
  auto* scales = images.scales.as<float>();
  if (params) {
    scales[0] = params->scale;
    images.zero_point = params->zero_point;
  }
  images.storage = Tensor::uninitialized(DType::i8, {count * size});
  auto* values = images.storage.as<std::int8_t>();
  images.values = values;
  const bool floats = x.dtype == DType::f32;
  const std::int64_t chunks = (size + kChunk - 1) / kChunk, tiles = (pixels + kPixels - 1) / kPixels;
  Tensor parts(DType::f32, {floats ? count * chunks : 0});
  const int threads = threads_for(std::min(count * tiles, count * size / kElementsPerThread));
  Tensor scratch = Tensor::uninitialized(DType::i8, {floats ? threads * channels * kPixels : 0});
  const kernels::Limits limits = params ? kernels::Limits{-128, 127} : kernels::Limits{-127, 127};
  const kernels::QuantFormatTable& format = *active_kernels().quant_format;
  const kernels::ConvTable& kernel = *active_kernels().conv;
  std::atomic<bool> finite{true};
  parallel(threads, [&](const Team& team) {
    if (floats) {
      if (!find_ranges(x.as<float>(), count, size, team, parts)) finite = false;
      team.barrier();
      if (team.rank == 0 && !params) {
        for (std::int64_t i = 0; i < count; ++i) {
          const float* part = parts.as<float>() + i * chunks;
          scales[i] = scale_for(*std::max_element(part, part + chunks));
        }
      }
      team.barrier();
      if (!finite) return;
    }
    auto* rows = floats ? scratch.as<std::int8_t>() + team.rank * channels * kPixels : nullptr;
    const ChunkRange mine = team.share(count * tiles);
    for (std::int64_t tile = mine.begin; tile < mine.end; ++tile) {
      const std::int64_t image = tile / tiles, first = tile % tiles * kPixels, part = std::min(kPixels, pixels - first);
      std::int8_t* to = values + image * size + first * channels;
      if (!floats) {
        kernel.interleave({x.as<std::int8_t>() + image * size + first, pixels, to, channels, part, channels});
        continue;
      }
      for (std::int64_t c = 0; c < channels; ++c) {
        format.quantize_run(x.as<float>() + image * size + c * pixels + first, images.scale(image), images.zero_point,
                            limits, rows + c * kPixels, part);
      }
      kernel.interleave({rows, kPixels, to, channels, part, channels});
    }
  });
  if (!finite) require_finite(x, "x");
  images.largest_scale = *std::max_element(scales, scales + images.scales.size());
  return images;
}

void ConvGrid::gather(const ConvImages& images, std::int64_t pixel, std::int64_t first, std::int64_t count,
                      std::int8_t* to) const {
  const std::int64_t image = pixel / pixels(), at = pixel % pixels();
  const std::int64_t top = at / width * window.stride[0] - window.padding[0],
                     left = at % width * window.stride[1] - window.padding[1];
  const bool together = window.dilation[1] == 1 && count == images.channels;  // a line of the window
  const std::int64_t begin = std::clamp<std::int64_t>(-left, 0, kernel_width),
                     end = std::clamp<std::int64_t>(images.width - left, begin, kernel_width);
  for (std::int64_t i = 0; i < kernel_height; ++i) {
    const std::int64_t y = top + i * window.dilation[0];
    if (y < 0 || y >= images.height) {
      std::memset(to, images.zero_point, kernel_width * count);
      to += kernel_width * count;
      continue;
    }
    const std::int8_t* line = images.values + ((image * images.height + y) * images.width + left) * images.channels;
    if (together) {
      std::memset(to, images.zero_point, begin * count);
      std::memcpy(to + begin * count, line + begin * count, (end - begin) * count);
      std::memset(to + end * count, images.zero_point, (kernel_width - end) * count);
      to += kernel_width * count;
      continue;
    }
    for (std::int64_t j = 0; j < kernel_width; ++j, to += count) {
      const std::int64_t x = left + j * window.dilation[1];
      if (x < 0 || x >= images.width) {
        std::memset(to, images.zero_point, count);
      } else {
        std::memcpy(to, line + j * window.dilation[1] * images.channels + first, count);
      }
    }
  }
}

void ConvGrid::point(const ConvImages& images, std::int64_t pixel, const std::int8_t* padding,
                     const std::int8_t** to) const {
  const std::int64_t image = pixel / pixels(), at = pixel % pixels();
  const std::int64_t top = at / width * window.stride[0] - window.padding[0],
                     left = at % width * window.stride[1] - window.padding[1];
  for (std::int64_t i = 0; i < kernel_height; ++i) {
    const std::int64_t y = top + i * window.dilation[0];
    const bool there = y >= 0 && y < images.height;
    const std::int64_t line = (image * images.height + y) * images.width;
    for (std::int64_t j = 0; j < kernel_width; ++j) {
      const std::int64_t x = left + j * window.dilation[1];
      *to++ = there && x >= 0 && x < images.width ? images.values + (line + x) * images.channels : padding;
    }
  }
}

}  // namespace petrain
