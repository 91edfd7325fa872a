#pragma once
#include <kiln/kiln.h>

#include <string>

/// The bench's networks, described in networks.json, which the peers read as well.
namespace kiln::bench {

/// A network with weights by the tests' formula; without its dropout layers if they would hinder a
/// comparison. Throws FileError if networks.json can't be read, ValueError for a name that isn't in it.
Model make_network(const std::string& name, bool dropout);
/// The shape of one of its inputs.
Shape input_shape(const std::string& name);
/// Whether it learns to return its input, by the mean squared error, instead of ten classes.
bool returns_input(const std::string& name);

}  // namespace kiln::bench
