#include "quote.hpp"

#include <nlohmann/json.hpp>

namespace petrain {
namespace {

using nlohmann::json;

std::string dump(const std::string& text, bool ascii) {
  return json(text).dump(-1, ' ', ascii, json::error_handler_t::replace);
}

}  // namespace

std::string quote(const std::string& text) {
  constexpr std::size_t kLongest = 80;
  if (text.size() <= kLongest) return dump(text, true);
  return dump(text.substr(0, kLongest), true) + "… (" + std::to_string(text.size()) + " bytes)";
}

std::string quote_path(const std::string& path) { return dump(path, false); }

}  // namespace petrain
