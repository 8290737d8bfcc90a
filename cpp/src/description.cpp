#include "description.hpp"

#include <limits>
#include <stdexcept>

#include "quant_spec.hpp"
#include "quote.hpp"
#include "safetensors_format.hpp"

namespace petrain {
namespace {

using nlohmann::json;

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument(message); }

std::int64_t integer_from(const json& value, const std::string& what) {
  constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > largest)) {
    refuse(what + ": expected an integer below 2^63, got " + quote(value.dump()));
  }
  return value.get<std::int64_t>();
}

}  // namespace

json parse_description(const std::string& text, int max_depth) {
  // The parser takes a zero byte for the end of the text.
  if (text.find('\0') != std::string::npos) refuse("its description holds a zero byte");
  int depth = 0;
  bool in_text = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_text) {
      if (c == '\\') ++i;
      in_text = c != '"';
    } else if (c == '"') {
      in_text = true;
    } else if (c == '[' || c == '{') {
      if (++depth > max_depth) refuse("its description is nested deeper than " + std::to_string(max_depth));
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  try {
    return json::parse(text);
  } catch (const json::exception& error) {
    refuse(error.what());
  }
}

const json& member(const json& object, const char* key, const std::string& where) {
  if (!object.is_object()) refuse(where + ": expected an object, got " + object.type_name());
  const auto found = object.find(key);
  if (found == object.end()) refuse(where + ": expected the key \"" + key + "\"");
  return *found;
}

std::string text_member(const json& object, const char* key, const std::string& where) {
  const json& value = member(object, key, where);
  if (!value.is_string()) refuse(where + ": expected text for \"" + key + "\", got " + value.type_name());
  return value.get<std::string>();
}

std::int64_t integer_member(const json& object, const char* key, const std::string& where) {
  return integer_from(member(object, key, where), where + ": " + key);
}

void require_version(const json& object, int version, const std::string& what) {
  const json& given = member(object, "version", "the " + what);
  if (given != version)
    refuse("expected " + what + " version " + std::to_string(version) + ", got " + quote(given.dump()));
}

Tensor take(Tensors& tensors, const std::string& name) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) refuse("expected a tensor named " + quote(name));
  Tensor tensor = std::move(found->second);
  tensors.erase(found);
  return tensor;
}

json describe(const QuantTensor& q) {
  const QuantSpec& spec = q.spec;
  json object = {{"bits", spec.bits},
                 {"scheme", scheme_name(spec.scheme)},
                 {"granularity", granularity_name(spec.granularity)},
                 {"shape", q.shape}};
  if (spec.granularity != Granularity::tensor) object["axis"] = spec.axis;
  if (spec.granularity == Granularity::group) object["group_size"] = spec.group_size;
  return object;
}

QuantTensor quant_tensor_from(const json& object, const std::string& name, Tensors& tensors) {
  const std::string where = "format";
  const auto small = [&](const char* key) {
    const std::int64_t value = integer_member(object, key, where);
    if (value < 0 || value > 255) {
      refuse(where + ": " + key + ": expected an integer from 0 to 255, got " + std::to_string(value));
    }
    return static_cast<int>(value);
  };
  QuantSpec spec;
  spec.bits = small("bits");
  spec.scheme = scheme_from(text_member(object, "scheme", where));
  spec.granularity = granularity_from(text_member(object, "granularity", where));
  if (spec.granularity != Granularity::tensor) spec.axis = small("axis");
  if (spec.granularity == Granularity::group) spec.group_size = small("group_size");
  const json& extents = member(object, "shape", where);
  if (!extents.is_array() || extents.size() > kMostDimensions) {
    refuse(where + ": shape: expected an array of at most " + std::to_string(kMostDimensions) + " integers, got " +
           extents.type_name() + (extents.is_array() ? " of " + std::to_string(extents.size()) : ""));
  }
  Shape shape;
  for (const json& extent : extents) shape.push_back(integer_from(extent, where + ": shape"));
  Tensor values = take(tensors, name + ".values"), scale = take(tensors, name + ".scale"), zero_point;
  if (spec.scheme == Scheme::asymmetric) zero_point = take(tensors, name + ".zero_point");
  return {std::move(values), std::move(scale), std::move(zero_point), spec, std::move(shape)};
}

}  // namespace petrain
