module github.com/mistersmith/mistersmith/bench

go 1.26.0

require github.com/mistersmith/mistersmith v0.0.0

require github.com/thejerf/suture/v4 v4.0.6 // indirect

replace github.com/mistersmith/mistersmith => ../
