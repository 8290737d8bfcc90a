// JSON from a file's metadata, hostile until checked. What is wrong is std::invalid_argument here; the readers of files
// make a petrain::Error of it that says what the file is not.
#pragma once

#include <cstdint>
#include <map>
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

// The tensors of a file by name, until each is taken by what it belongs to.
using Tensors = std::map<std::string, Tensor>;
Tensor take(Tensors& tensors, const std::string& name);

// The format of a quantized array, and its shape.
nlohmann::json describe(const QuantTensor& q);
// The array, of the tensors `name`.values, `name`.scale and, where it is asymmetric, `name`.zero_point.
QuantTensor quant_tensor_from(const nlohmann::json& object, const std::string& name, Tensors& tensors);

}  // namespace petrain
