#include "quant_spec.hpp"

#include "quant_checks.hpp"
#include "quote.hpp"

namespace petrain {
namespace {

void require_known(const QuantSpec& spec) {
  require_bits(spec.bits);
  const bool grouped = spec.granularity == Granularity::group;
  if (grouped && spec.group_size != 32 && spec.group_size != 64 && spec.group_size != 128) {
    throw std::invalid_argument("group_size: expected 32, 64 or 128, got " +
                                (spec.group_size == 0 ? "none" : std::to_string(spec.group_size)));
  }
  if (!grouped && spec.group_size != 0) {
    throw std::invalid_argument("group_size: expected none, as the granularity is " +
                                std::string(granularity_name(spec.granularity)) + ", got " +
                                std::to_string(spec.group_size));
  }
}

std::int64_t channel_size(const QuantSpec& spec, const Shape& shape) {
  return element_count(shape) / shape[static_cast<std::size_t>(spec.axis)];
}

}  // namespace

int normalized_axis(int axis, const Shape& shape) {
  const int dimensions = static_cast<int>(shape.size());
  if (axis < -dimensions || axis >= dimensions) {
    throw std::out_of_range("axis: expected " + std::to_string(-dimensions) + " to " + std::to_string(dimensions - 1) +
                            " for shape " + shape_text(shape) + ", got " + std::to_string(axis));
  }
  return axis < 0 ? axis + dimensions : axis;
}

const char* scheme_name(Scheme scheme) { return scheme == Scheme::symmetric ? "symmetric" : "asymmetric"; }

Scheme scheme_from(const std::string& name) {
  for (const Scheme scheme : {Scheme::symmetric, Scheme::asymmetric}) {
    if (name == scheme_name(scheme)) return scheme;
  }
  throw std::invalid_argument("scheme: expected \"symmetric\" or \"asymmetric\", got " + quote(name));
}

const char* granularity_name(Granularity granularity) {
  switch (granularity) {
    case Granularity::tensor:
      return "tensor";
    case Granularity::channel:
      return "channel";
    default:
      return "group";
  }
}

Granularity granularity_from(const std::string& name) {
  for (const Granularity granularity : {Granularity::tensor, Granularity::channel, Granularity::group}) {
    if (name == granularity_name(granularity)) return granularity;
  }
  throw std::invalid_argument("granularity: expected \"tensor\", \"channel\" or \"group\", got " + quote(name));
}

QuantSpec checked_spec(QuantSpec spec, const Shape& shape, const std::string& what) {
  require_known(spec);
  if (element_count(shape) == 0) {
    throw std::invalid_argument(what + ": expected at least one element, got shape " + shape_text(shape));
  }
  if (spec.granularity == Granularity::tensor) {
    spec.axis = 0;
    return spec;
  }
  if (shape.empty()) {
    throw std::invalid_argument(what + ": expected at least one dimension for scales per " +
                                std::string(granularity_name(spec.granularity)) + ", got shape ()");
  }
  spec.axis = normalized_axis(spec.axis, shape);
  if (spec.granularity == Granularity::group && channel_size(spec, shape) % spec.group_size != 0) {
    throw std::invalid_argument("group_size: expected a divisor of the " + std::to_string(channel_size(spec, shape)) +
                                " elements at each index of axis " + std::to_string(spec.axis) + " of shape " +
                                shape_text(shape) + ", got " + std::to_string(spec.group_size));
  }
  return spec;
}

DType stored_dtype(const QuantSpec& spec) { return spec.bits == 8 ? DType::i8 : DType::u8; }

Shape stored_shape(const QuantSpec& spec, const Shape& shape) {
  if (spec.bits == 8) return shape;
  const std::int64_t size = element_count(shape);
  return {size / 2 + size % 2};
}

Shape scale_shape(const QuantSpec& spec, const Shape& shape) {
  if (spec.granularity == Granularity::tensor) return {};
  const std::int64_t channels = shape[static_cast<std::size_t>(spec.axis)];
  if (spec.granularity == Granularity::channel) return {channels};
  return {channels, channel_size(spec, shape) / spec.group_size};
}

kernels::Limits limits_of(const QuantSpec& spec) {
  const std::int32_t most = (1 << (spec.bits - 1)) - 1;
  return {spec.scheme == Scheme::symmetric ? -most : -most - 1, most};
}

std::string spec_text(const QuantSpec& spec) {
  std::string text = "int" + std::to_string(spec.bits) + ", " + scheme_name(spec.scheme) + ", per " +
                     granularity_name(spec.granularity);
  if (spec.granularity == Granularity::tensor) return text;
  if (spec.granularity == Granularity::group) text += " of " + std::to_string(spec.group_size);
  return text + " along axis " + std::to_string(spec.axis);
}

}  // namespace petrain
