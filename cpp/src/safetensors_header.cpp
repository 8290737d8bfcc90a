#include "safetensors_header.hpp"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "petrain/error.hpp"
#include "quote.hpp"
#include "safetensors_format.hpp"

namespace petrain {
namespace {

using nlohmann::json;

// Follows the parser's events through the few places that a header has. No JSON value is ever built, and whatever is
// deeper than a header may be is refused at its first bracket: nothing that a file says makes anything recursive.
class HeaderReader {
 public:
  explicit HeaderReader(SafetensorsHeader& header) : header_(header) {}

  bool start_object(std::size_t) {
    if (place_ == Place::start) {
      place_ = Place::top;
    } else if (place_ == Place::entry) {
      place_ = Place::tensor;
    } else if (place_ == Place::metadata_entry) {
      place_ = Place::metadata;
    } else {
      refuse("an object");
    }
    return true;
  }

  bool end_object() {
    if (place_ == Place::tensor) {
      for (int i = 0; i < 3; ++i) {
        if (!seen_[i]) throw Error(where() + ": expected a field " + kFields[i] + ", got none");
      }
    }
    place_ = place_ == Place::top ? Place::end : Place::top;
    return true;
  }

  bool key(std::string& name) {
    if (place_ == Place::top) {
      name_ = name;
      const bool metadata = name == kMetadataKey;
      const bool repeated = metadata ? has_metadata_ : !header_.tensors.try_emplace(name).second;
      if (repeated) throw Error("header: expected each key once, got " + quote(name) + " again");
      place_ = metadata ? Place::metadata_entry : Place::entry;
      if (metadata)
        has_metadata_ = true;
      else
        tensor_ = &header_.tensors.at(name);
      for (bool& seen : seen_) seen = false;
    } else if (place_ == Place::metadata) {
      metadata_key_ = name;
      if (!header_.metadata.try_emplace(name).second) throw Error(where() + ": expected each key once, got it again");
      place_ = Place::metadata_value;
    } else {
      const int number = field_number(name);
      if (number < 0) throw Error(where() + ": expected dtype, shape and data_offsets, got " + quote(name));
      if (seen_[number]) throw Error(where() + ": expected each field once, got " + name + " again");
      seen_[number] = true;
      place_ = static_cast<Place>(static_cast<int>(Place::dtype) + number);
    }
    return true;
  }

  bool start_array(std::size_t) {
    if (place_ == Place::shape) {
      place_ = Place::extents;
    } else if (place_ == Place::offsets) {
      place_ = Place::offset_pair;
    } else {
      refuse("an array");
    }
    return true;
  }

  bool end_array() {
    if (place_ == Place::offset_pair && tensor_->offsets.size() != 2) {
      throw Error(where() + ": expected two numbers, got " + std::to_string(tensor_->offsets.size()));
    }
    place_ = Place::tensor;
    return true;
  }

  bool string(std::string& text) {
    if (place_ == Place::metadata_value) {
      header_.metadata.at(metadata_key_) = text;
      place_ = Place::metadata;
    } else if (place_ == Place::dtype) {
      tensor_->dtype = dtype_from(text);
      place_ = Place::tensor;
    } else {
      refuse(quote(text));
    }
    return true;
  }

  bool number_unsigned(std::uint64_t number) {
    if (place_ == Place::extents) {
      if (tensor_->shape.size() == kMostDimensions) {
        throw Error(where() + ": expected at most " + std::to_string(kMostDimensions) + " dimensions, got more");
      }
      if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        refuse(std::to_string(number));
      }
      tensor_->shape.push_back(static_cast<std::int64_t>(number));
    } else if (place_ == Place::offset_pair) {
      if (tensor_->offsets.size() == 2) throw Error(where() + ": expected two numbers, got more");
      tensor_->offsets.push_back(number);
    } else {
      refuse(std::to_string(number));
    }
    return true;
  }

  bool null() { refuse("null"); }
  bool boolean(bool value) { refuse(value ? "true" : "false"); }
  bool number_integer(std::int64_t number) { refuse(number == 0 ? "-0" : std::to_string(number)); }
  bool number_float(double, const std::string& text) { refuse(quote(text)); }
  bool binary(json::binary_t&) { refuse("binary data"); }

  bool parse_error(std::size_t position, const std::string&, const json::exception& error) {
    // What the parser quotes of the text has no limit and may not be UTF-8; its own words before that are enough.
    std::string reason = error.what();
    reason.resize(std::min({reason.size(), reason.find("; last read"), std::size_t{160}}));
    throw Error("header: expected JSON, got an error at byte " + std::to_string(position) + ": " +
                reason.substr(reason.find("] ") == std::string::npos ? 0 : reason.find("] ") + 2));
  }

 private:
  // dtype, shape and offsets stand in the order of the fields.
  // clang-format off
  enum class Place {
    start, top, metadata_entry, metadata, metadata_value, entry, tensor, dtype, shape, offsets, extents, offset_pair, end
  };
  // clang-format on

  static constexpr const char* kFields[] = {"dtype", "shape", "data_offsets"};

  static int field_number(const std::string& name) {
    for (int i = 0; i < 3; ++i) {
      if (name == kFields[i]) return i;
    }
    return -1;
  }

  std::string where() const {
    switch (place_) {
      case Place::start:
      case Place::top:
      case Place::end:
        return "header";
      case Place::metadata_entry:
        return kMetadataKey;
      case Place::metadata:
      case Place::metadata_value:
        return std::string(kMetadataKey) + " " + quote(metadata_key_);
      case Place::dtype:
        return "tensor " + quote(name_) + ": dtype";
      case Place::shape:
      case Place::extents:
        return "tensor " + quote(name_) + ": shape";
      case Place::offsets:
      case Place::offset_pair:
        return "tensor " + quote(name_) + ": data_offsets";
      default:
        return "tensor " + quote(name_);
    }
  }

  [[noreturn]] void refuse(const std::string& got) const {
    const char* expected = "an integer of at least 0 and below 2^63";
    if (place_ == Place::shape || place_ == Place::offsets) expected = "an array of integers";
    if (place_ == Place::dtype || place_ == Place::metadata_value) expected = "text";
    if (place_ == Place::start || place_ == Place::entry || place_ == Place::metadata_entry) expected = "an object";
    throw Error(where() + ": expected " + expected + ", got " + got);
  }

  DType dtype_from(const std::string& name) const {
    std::string supported;
    for (const StoredDType& stored : kStoredDTypes) {
      if (name == stored.name) return stored.dtype;
      supported += (supported.empty() ? "" : ", ") + std::string(stored.name);
    }
    throw Error(where() + ": expected one of " + supported + ", got " + quote(name));
  }

  SafetensorsHeader& header_;
  Place place_ = Place::start;
  bool has_metadata_ = false;
  bool seen_[3] = {};
  std::string name_, metadata_key_;
  StoredTensor* tensor_ = nullptr;
};

}  // namespace

SafetensorsHeader parse_safetensors_header(const std::string& text) {
  if (text.empty() || text[0] != '{') {
    throw Error("header: expected it to begin with {, got " + (text.empty() ? "nothing" : quote(text.substr(0, 1))));
  }
  // The JSON parser takes a null byte for the end of its input and would not look at what follows.
  if (text.find('\0') != std::string::npos) {
    throw Error("header: expected text, got a null byte at byte " + std::to_string(text.find('\0')));
  }
  SafetensorsHeader header;
  HeaderReader reader(header);
  if (!json::sax_parse(text, &reader)) throw Error("header: expected JSON");
  return header;
}

}  // namespace petrain
