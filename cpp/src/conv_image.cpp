#include "conv_image.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "chunks.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "quant_rows.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kPixels = 64;  // that are transposed at once

// In whole pieces: windows are short, and a call for each would cost more than what is copied in vain.
void copy(const std::int8_t* from, std::int64_t size, std::int8_t* to) {
  for (std::int64_t i = 0; i < size; i += kCopySlack) std::memcpy(to + i, from + i, kCopySlack);
}

}  // namespace

float ImageParams::largest_scale() const {
  return *std::max_element(scales.as<float>(), scales.as<float>() + scales.size());
}

ImageParams image_params(const ConstTensorView& x, std::int64_t count, const std::optional<QuantParams>& params) {
  ImageParams result;
  result.scales = Tensor(DType::f32, {params ? 1 : count});
  auto* scales = result.scales.as<float>();
  if (params) {
    scales[0] = params->scale;
    result.zero_point = params->zero_point;
    result.limits = limits_of(*params);
  }
  if (x.dtype == DType::i8) return result;
  const std::int64_t size = x.size() / count, chunks = (size + kChunk - 1) / kChunk;
  Tensor largest(DType::f32, {count, chunks});
  auto* parts = largest.as<float>();
  parallel(threads_for(std::min(count * chunks, x.size() / kElementsPerThread)), [&](const Team& team) {
    const ChunkRange mine = team.share(count * chunks);
    for (std::int64_t i = mine.begin; i < mine.end; ++i) {
      const std::int64_t begin = i % chunks * kChunk;
      parts[i] = active_kernels().quant->max_abs_run(x.as<float>() + i / chunks * size + begin,
                                                     std::min(kChunk, size - begin));
    }
  });
  if (!std::all_of(parts, parts + largest.size(), [](float part) { return std::isfinite(part); })) {
    require_finite(x, "x");
  }
  for (std::int64_t i = 0; !params && i < count; ++i) {
    scales[i] = row_scale(*std::max_element(parts + i * chunks, parts + (i + 1) * chunks));
  }
  return result;
}

Tensor channels_last(const ConstTensorView& x, const ConvSizes& sizes, const ImageParams& params) {
  const std::int64_t channels = sizes.channels, pixels = sizes.image_pixels(), size = channels * pixels;
  const std::int64_t tiles = (pixels + kPixels - 1) / kPixels;
  Tensor images = Tensor::uninitialized(DType::i8, {sizes.count * size + kCopySlack});
  auto* values = images.as<std::int8_t>();
  std::memset(values + sizes.count * size, 0, kCopySlack);
  const int threads = threads_for(std::min(sizes.count * tiles, sizes.count * size / kElementsPerThread));
  const bool floats = x.dtype == DType::f32;
  Tensor scratch = Tensor::uninitialized(DType::i8, {floats ? threads * channels * kPixels : 0});
  parallel(threads, [&](const Team& team) {
    std::int8_t* rows = floats ? scratch.as<std::int8_t>() + team.rank * channels * kPixels : nullptr;
    const ChunkRange mine = team.share(sizes.count * tiles);
    for (std::int64_t tile = mine.begin; tile < mine.end; ++tile) {
      const std::int64_t image = tile / tiles, first = tile % tiles * kPixels, part = std::min(kPixels, pixels - first);
      const std::int64_t begin = image * size + first;
      for (std::int64_t c = 0; floats && c < channels; ++c) {
        active_kernels().quant_format->quantize_run(x.as<float>() + begin + c * pixels, params.scale(image),
                                                    params.zero_point, params.limits, rows + c * kPixels, part);
      }
      active_kernels().conv->interleave({floats ? rows : x.as<std::int8_t>() + begin, floats ? kPixels : pixels,
                                         values + image * size + first * channels, channels, part, channels});
    }
  });
  return images;
}

const std::int8_t* gather(const std::int8_t* images, const ConvSizes& sizes, std::int32_t zero_point,
                          std::int64_t pixel, std::int64_t first, std::int64_t count, std::int8_t* to) {
  const auto& [stride, padding, dilation] = sizes.window;
  const auto [height, width] = sizes.image;
  const std::int64_t image = pixel / sizes.pixels(), at = pixel % sizes.pixels();
  const std::int64_t top = at / sizes.result[1] * stride[0] - padding[0],
                     left = at % sizes.result[1] * stride[1] - padding[1];
  const std::int64_t corner = ((image * height + top) * width + left) * sizes.channels + first;
  const std::int64_t taps = sizes.kernel[1];
  if (sizes.taps() == 1 && top >= 0 && left >= 0 && top < height && left < width) return images + corner;
  const bool together = dilation[1] == 1 && count == sizes.channels;  // a line of the window
  const std::int64_t begin = std::clamp<std::int64_t>(-left, 0, taps),
                     end = std::clamp<std::int64_t>(width - left, begin, taps);
  std::int8_t* const start = to;
  for (std::int64_t i = 0; i < sizes.kernel[0]; ++i) {
    const std::int64_t y = top + i * dilation[0];
    if (y < 0 || y >= height) {
      std::memset(to, zero_point, taps * count);
      to += taps * count;
      continue;
    }
    const std::int64_t line = corner + i * dilation[0] * width * sizes.channels;
    if (together) {
      if (begin > 0) std::memset(to, zero_point, begin * count);
      copy(images + (line + begin * count), (end - begin) * count, to + begin * count);
      if (end < taps) std::memset(to + end * count, zero_point, (taps - end) * count);
      to += taps * count;
      continue;
    }
    for (std::int64_t j = 0; j < taps; ++j, to += count) {
      const std::int64_t x = left + j * dilation[1];
      if (x < 0 || x >= width) {
        std::memset(to, zero_point, count);
      } else {
        copy(images + (line + j * dilation[1] * sizes.channels), count, to);
      }
    }
  }
  return start;
}

}  // namespace petrain
