#pragma once
/// Datasets, and what data go through before they train.
#include "kiln/data/dataset.h"
