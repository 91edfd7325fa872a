#pragma once
/// Datasets, and what data go through before they train.
#include "kiln/data/dataset.h"
#include "kiln/data/images.h"
#include "kiln/data/preparation.h"
#include "kiln/data/table.h"
