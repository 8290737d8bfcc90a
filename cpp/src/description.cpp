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
  const auto check_depth = [max_depth](int depth, json::parse_event_t, json&) {
    if (depth > max_depth) refuse("its description is nested deeper than " + std::to_string(max_depth));
    return true;
  };
  // The parser takes a zero byte for the end of the text.
  if (text.find('\0') != std::string::npos) refuse("its description holds a zero byte");
  try {
    return json::parse(text, check_depth);
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

QuantDescription quant_description_from(const json& object, const std::string& where) {
  const auto small = [&](const char* key) {
    const std::int64_t value = integer_member(object, key, where);
    if (value < 0 || value > 255) {
      refuse(where + ": " + key + ": expected an integer from 0 to 255, got " + std::to_string(value));
    }
    return static_cast<int>(value);
  };
  QuantDescription result;
  result.spec.bits = small("bits");
  result.spec.scheme = scheme_from(text_member(object, "scheme", where));
  result.spec.granularity = granularity_from(text_member(object, "granularity", where));
  if (result.spec.granularity != Granularity::tensor) result.spec.axis = small("axis");
  if (result.spec.granularity == Granularity::group) result.spec.group_size = small("group_size");
  const json& shape = member(object, "shape", where);
  if (!shape.is_array() || shape.size() > kMostDimensions) {
    refuse(where + ": shape: expected an array of at most " + std::to_string(kMostDimensions) + " integers, got " +
           shape.type_name() + (shape.is_array() ? " of " + std::to_string(shape.size()) : ""));
  }
  for (const json& extent : shape) result.shape.push_back(integer_from(extent, where + ": shape"));
  return result;
}

}  // namespace petrain
