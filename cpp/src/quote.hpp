// Text from outside, as it may stand in a message.
#pragma once

#include <string>

namespace petrain {

// For what a file says: quoted, control characters and all beyond ASCII escaped, cut after 80 bytes. A hostile name
// can neither flood a log nor steer a terminal.
std::string quote(const std::string& text);

// For a path, which is the caller's own: whole, and readable in any language; what is not UTF-8 is replaced.
std::string quote_path(const std::string& path);

}  // namespace petrain
