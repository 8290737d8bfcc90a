// JSON from a file's metadata, hostile until checked. What is wrong is std::invalid_argument here; the readers of files
// make a petrain::Error of it that says what the file is not.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "petrain/quant.hpp"

namespace petrain {

// `where` names the object in messages.
nlohmann::json parse_description(const std::string& text, int max_depth);
const nlohmann::json& member(const nlohmann::json& object, const char* key, const std::string& where);
std::string text_member(const nlohmann::json& object, const char* key, const std::string& where);
std::int64_t integer_member(const nlohmann::json& object, const char* key, const std::string& where);
void require_version(const nlohmann::json& object, int version, const std::string& what);  // "model"

// The format of a quantized array, and its shape.
nlohmann::json describe(const QuantTensor& q);
struct QuantDescription {
  QuantSpec spec;
  Shape shape;
};
QuantDescription quant_description_from(const nlohmann::json& object, const std::string& where);

}  // namespace petrain
